//! Who issued a certificate, for a person to read. TLS checks certificates; this only reads two names of
//! one (RFC 5280, section 4.1), however broken it is.

use rustls::pki_types::CertificateDer;

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
/// The first field of a certificate, which may be absent.
const VERSION: u8 = 0xa0;
/// A string of UTF-16; all others are shown as UTF-8.
const BMP_STRING: u8 = 0x1e;
/// `2.5.4.3` and `2.5.4.10`.
const SHOWN: [(&[u8], &str); 2] = [(&[0x55, 4, 3], "CN"), (&[0x55, 4, 10], "O")];
/// As much of one part of a name is shown, in characters.
const MAX_PART_CHARS: usize = 100;

/// The issuer at the end of the chain that a host sent: what this machine would have to trust.
/// `None` where no name can be read.
pub(super) fn issuer(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Option<String> {
    let mut names = Names::of(end_entity)?;
    // No certificate is passed twice, so that a circle has an end.
    for _ in intermediates {
        let mut sent = intermediates.iter().filter_map(|sent| Names::of(sent));
        match sent.find(|next| next.subject == names.issuer) {
            Some(next) => names = next,
            None => break,
        }
    }
    shown(names.issuer)
}

/// The names in a certificate, in DER.
struct Names<'c> {
    issuer: &'c [u8],
    subject: &'c [u8],
}

impl<'c> Names<'c> {
    fn of(certificate: &'c [u8]) -> Option<Self> {
        let (certificate, _) = next_of(SEQUENCE, certificate)?;
        let (fields, _) = next_of(SEQUENCE, certificate)?;
        let after_version = next_of(VERSION, fields).map_or(fields, |(_, rest)| rest);
        let (_, _serial, rest) = next(after_version)?;
        let (_, _algorithm, rest) = next(rest)?;
        let (issuer, rest) = next_of(SEQUENCE, rest)?;
        let (_, _validity, rest) = next(rest)?;
        let (subject, _) = next_of(SEQUENCE, rest)?;
        Some(Self { issuer, subject })
    }
}

/// The parts of a name that people know it by: `CN=…, O=…`.
fn shown(name: &[u8]) -> Option<String> {
    let parts = SHOWN
        .iter()
        .filter_map(|(oid, label)| Some(format!("{label}={}", part(name, oid)?)));
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The first part of a name that has this identifier.
fn part(mut name: &[u8], wanted: &[u8]) -> Option<String> {
    while let Some((_, mut set, rest)) = next(name) {
        name = rest;
        while let Some((_, pair, others)) = next(set) {
            set = others;
            let Some((oid, value)) = next_of(OID, pair) else {
                continue;
            };
            if oid == wanted {
                let (kind, text, _) = next(value)?;
                return Some(text_of(kind, text));
            }
        }
    }
    None
}

fn text_of(kind: u8, bytes: &[u8]) -> String {
    let text = if kind == BMP_STRING {
        let units = bytes.chunks_exact(2);
        let units: Vec<u16> = units
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect();
        String::from_utf16_lossy(&units)
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    };
    text.chars().take(MAX_PART_CHARS).collect()
}

/// The first element: its tag, what it holds, and what comes after it.
fn next(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        // Longer than four gigabytes is none of a certificate.
        if length.len() > 4 {
            return None;
        }
        let add = |sum: usize, &byte: &u8| sum << 8 | usize::from(byte);
        (length.iter().fold(0, add), rest)
    };
    let (held, rest) = rest.split_at_checked(length)?;
    Some((tag, held, rest))
}

/// The same of an element that must have this tag.
fn next_of(wanted: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    next(der).and_then(|(tag, held, rest)| (tag == wanted).then_some((held, rest)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    fn params(names: &[(DnType, &str)]) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    /// A certificate of a host, and that of the authority between it and the root.
    fn chain() -> (CertificateDer<'static>, CertificateDer<'static>) {
        let root = Issuer::new(
            params(&[
                (DnType::OrganizationName, "Contoso"),
                (DnType::CommonName, "Contoso Röot"),
            ]),
            KeyPair::generate().unwrap(),
        );
        let (middle, key) = (
            params(&[(DnType::CommonName, "between")]),
            KeyPair::generate().unwrap(),
        );
        let between = middle.signed_by(&key, &root).unwrap();
        let middle = Issuer::new(middle, key);
        let host = params(&[(DnType::CommonName, "host")]);
        let host = host.signed_by(&KeyPair::generate().unwrap(), &middle);
        (host.unwrap().der().clone(), between.der().clone())
    }

    #[test]
    fn the_issuer_is_the_one_at_the_end_of_the_chain() {
        let (host, between) = chain();
        assert_eq!(issuer(&host, &[]).as_deref(), Some("CN=between"));
        let name = issuer(&host, &[host.clone(), between.clone()]);
        assert_eq!(name.as_deref(), Some("CN=Contoso Röot, O=Contoso"));
        let of_itself = issuer(&between, std::slice::from_ref(&between));
        assert_eq!(of_itself.as_deref(), Some("CN=Contoso Röot, O=Contoso"));
    }

    proptest! {
        #[test]
        fn a_broken_certificate_breaks_nothing(
            noise in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), byte in any::<u8>()
        ) {
            issuer(&CertificateDer::from(noise), &[]);
            let (host, between) = chain();
            let mut broken = host.to_vec();
            let at = at.index(broken.len());
            broken[at] = byte;
            issuer(&CertificateDer::from(broken.clone()), &[between]);
            broken.truncate(at);
            issuer(&CertificateDer::from(broken), &[]);
        }
    }
}
