//! The organisation whose activities are generated: its people, and where and with what they work.
//!
//! Everything follows from the seed. Nothing here depends on time.

use crate::random::{Random, mix};

/// One person (or guest) of the tenant.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) display_name: String,
    /// Sign-in name; for a guest in the `#ext#` form.
    pub(crate) upn: String,
    /// The same with the other letter case that the source events use.
    pub(crate) raw_upn: String,
    pub(crate) object_id: String,
    /// A 32-bit hash, often negative (seen in samples).
    pub(crate) link: i64,
    pub(crate) group: String,
    /// False for guests that the service could not tie to an account.
    pub(crate) resolved: bool,
}

/// What all records of a tenant share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) tenant_id: i64,
    pub(crate) entra_tenant: String,
    pub(crate) domain: String,
    pub(crate) people: Vec<Person>,
}

const PEOPLE: usize = 400;
/// Tag of guests that are not resolved (seen in samples).
pub(crate) const UNRESOLVED_TAG: &str = "000000200000000000000000";

const FIRST_NAMES: [&str; 24] = [
    "Ada", "Amira", "Björn", "Carla", "Chen", "Dmitri", "Elena", "Fatima", "George", "Hana",
    "Ivan", "Jonas", "Karin", "Liam", "Maya", "Nadia", "Omar", "Priya", "Quentin", "Rosa", "Søren",
    "Tomas", "Uma", "Zoë",
];
const LAST_NAMES: [&str; 20] = [
    "Alvarez",
    "Becker",
    "Costa",
    "Dubois",
    "Eriksson",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ito",
    "Jansen",
    "Kowalski",
    "Lindqvist",
    "Moreau",
    "Novak",
    "O'Brien",
    "Patel",
    "Rossi",
    "Schmidt",
    "Tanaka",
    "Weber",
];

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(mix(seed, 0x5eed_0001));
        let domain = "contoso.onmicrosoft.com".to_owned();
        Self {
            tenant_id: random.between(20_000_000, 99_999_999),
            entra_tenant: random.guid(),
            people: (0..PEOPLE)
                .map(|at| person(&mut random, at, &domain))
                .collect(),
            domain,
        }
    }
}

fn person(random: &mut Random, at: usize, domain: &str) -> Person {
    let first = random.pick(&FIRST_NAMES);
    let last = random.pick(&LAST_NAMES);
    let plain: String = format!("{first}.{last}{at}")
        .to_lowercase()
        .chars()
        .filter(char::is_ascii)
        .filter(|letter| *letter != '\'')
        .collect();
    let guest = random.chance(80);
    let (upn, raw_upn) = if guest {
        let mailbox = format!("{plain}_gmail.com");
        (
            format!("{mailbox}#ext#@{domain}"),
            format!("{mailbox}#EXT#@{domain}"),
        )
    } else {
        (format!("{plain}@{domain}"), format!("{plain}@{domain}"))
    };
    Person {
        display_name: if guest {
            upn.clone()
        } else {
            format!("{first} {last}")
        },
        upn,
        raw_upn,
        object_id: random.guid(),
        link: random.between(i64::from(i32::MIN), i64::from(i32::MAX)),
        group: if guest {
            UNRESOLVED_TAG.to_owned()
        } else {
            random.hex(24)
        },
        resolved: !guest,
    }
}

/// A program that people work with, as the service parses it.
#[derive(Debug)]
pub(crate) struct Agent {
    /// `device.userAgent` of Office 365 records.
    pub(crate) raw: &'static str,
    /// `device.userAgent` of Entra sign-ins.
    pub(crate) sign_in: &'static str,
    pub(crate) family: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) device: &'static str,
    pub(crate) os: &'static str,
    pub(crate) os_name: &'static str,
    pub(crate) os_family: &'static str,
    pub(crate) os_version: Option<&'static str>,
    /// Major, minor and whole version.
    pub(crate) version: Option<(&'static str, &'static str, &'static str)>,
    pub(crate) native: bool,
    pub(crate) tag: Option<&'static str>,
}

pub(crate) const AGENTS: [Agent; 7] = [
    Agent {
        raw: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
        sign_in: ";Windows 10;Edge 126.0;",
        family: "EDGE",
        name: "Edge",
        kind: "Browser",
        device: "DESKTOP",
        os: "windows",
        os_name: "Windows 10",
        os_family: "Windows",
        os_version: Some("10"),
        version: Some(("126", "0", "126.0")),
        native: false,
        tag: None,
    },
    Agent {
        raw: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/91.0.4472.124 Safari/537.36",
        sign_in: ";Windows 10;Chrome 91.0;",
        family: "CHROME",
        name: "Chrome",
        kind: "Browser",
        device: "DESKTOP",
        os: "windows",
        os_name: "Windows 10",
        os_family: "Windows",
        os_version: Some("10"),
        version: Some(("91", "0", "91.0")),
        native: false,
        tag: Some("000000010000000000000000"),
    },
    Agent {
        raw: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
        sign_in: ";Ios 17.5.1;Mobile Safari 17.5;",
        family: "MOBILE_SAFARI",
        name: "Mobile Safari",
        kind: "Browser",
        device: "MOBILE",
        os: "ios",
        os_name: "iOS 17",
        os_family: "iOS",
        os_version: Some("17.5.1"),
        version: Some(("17", "5", "17.5")),
        native: false,
        tag: None,
    },
    Agent {
        raw: "OneDriveMpc-Transform_Thumbnail/1.0",
        sign_in: ";;",
        family: "MICROSOFT_ONEDRIVE_FOR_BUSINESS",
        name: "Microsoft OneDrive for Business",
        kind: "Application",
        device: "OTHER",
        os: "OTHER",
        os_name: "Unknown",
        os_family: "Unknown",
        os_version: None,
        version: None,
        native: true,
        tag: Some("000000000000000000000000"),
    },
    Agent {
        raw: "Client=MSExchangeRPC",
        sign_in: ";Windows 11;Rich Client 5.2.8.0;",
        family: "OUTLOOK",
        name: "Microsoft Outlook",
        kind: "Application",
        device: "DESKTOP",
        os: "windows",
        os_name: "Windows 11",
        os_family: "Windows",
        os_version: Some("11"),
        version: Some(("16", "0", "16.0")),
        native: true,
        tag: Some("000000000000000000000000"),
    },
    Agent {
        raw: "python-requests/2.25.1",
        sign_in: ";;Python Requests 2.25;",
        family: "UNKNOWN",
        name: "Unknown",
        kind: "Unknown",
        device: "OTHER",
        os: "OTHER",
        os_name: "Unknown",
        os_family: "Unknown",
        os_version: None,
        version: None,
        native: false,
        tag: Some("0000002b0000000000000000"),
    },
    Agent {
        raw: "Teams/24152.412.2958.916/49 (Macintosh)",
        sign_in: ";MacOs;Safari 17.4;",
        family: "MICROSOFT_TEAMS",
        name: "Microsoft Teams",
        kind: "Application",
        device: "DESKTOP",
        os: "mac_os",
        os_name: "macOS",
        os_family: "Mac OS",
        os_version: None,
        version: Some(("24152", "412", "24152.412")),
        native: true,
        tag: Some("000000000000000000000000"),
    },
];

/// Where an address is.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) country: &'static str,
    pub(crate) city: &'static str,
    pub(crate) region: &'static str,
    pub(crate) region_code: &'static str,
    pub(crate) postal_code: &'static str,
    /// Percent-encoded in part (seen in samples).
    pub(crate) carrier: &'static str,
    pub(crate) organization: &'static str,
    pub(crate) latitude: &'static str,
    pub(crate) longitude: &'static str,
    pub(crate) category: i64,
    pub(crate) category_value: &'static str,
    pub(crate) ip_tag: Option<&'static str>,
    pub(crate) proxy: bool,
    /// The first two parts of its IPv4 addresses.
    pub(crate) net: &'static str,
    /// The first groups of its IPv6 addresses.
    pub(crate) net6: &'static str,
}

pub(crate) const PLACES: [Place; 8] = [
    Place {
        country: "IL",
        city: "Tel Aviv",
        region: "Tel Aviv",
        region_code: "TA",
        postal_code: "6100000",
        carrier: "cellcom group",
        organization: "Cellcom Group",
        latitude: "32.0679",
        longitude: "34.7604",
        category: 0,
        category_value: "NONE",
        ip_tag: None,
        proxy: false,
        net: "203.0",
        net6: "2001:db8:10",
    },
    Place {
        country: "NL",
        city: "Amsterdam",
        region: "Noord-Holland",
        region_code: "NH",
        postal_code: "1101",
        carrier: "eunetworks gmbh",
        organization: "eunetworks",
        latitude: "52.30905",
        longitude: "4.94019",
        category: 1,
        category_value: "CORPORATE",
        ip_tag: None,
        proxy: false,
        net: "198.51",
        net6: "2001:db8:20",
    },
    Place {
        country: "DE",
        city: "Frankfurt am Main",
        region: "Hessen",
        region_code: "HE",
        postal_code: "60311",
        carrier: "amazon.com%2C inc",
        organization: "Amazon Web Services",
        latitude: "50.1109",
        longitude: "8.6821",
        category: 5,
        category_value: "CLOUD_PROXY_NETWORK_IP",
        ip_tag: Some("000000290000000000000000"),
        proxy: false,
        net: "192.0",
        net6: "2001:db8:30",
    },
    Place {
        country: "IE",
        city: "Dublin",
        region: "Dublin",
        region_code: "D",
        postal_code: "D02",
        carrier: "microsoft corporation",
        organization: "Microsoft Azure",
        latitude: "53.34807",
        longitude: "-6.24827",
        category: 5,
        category_value: "CLOUD_PROXY_NETWORK_IP",
        ip_tag: Some("0000002a0000000000000000"),
        proxy: false,
        net: "198.18",
        net6: "2001:db8:40",
    },
    Place {
        country: "BR",
        city: "São Paulo",
        region: "São Paulo",
        region_code: "SP",
        postal_code: "01000-000",
        carrier: "telefonica brasil s.a",
        organization: "Vivo",
        latitude: "-23.5475",
        longitude: "-46.63611",
        category: 0,
        category_value: "NONE",
        ip_tag: None,
        proxy: false,
        net: "203.0",
        net6: "2001:db8:50",
    },
    Place {
        country: "US",
        city: "Des Moines",
        region: "Iowa",
        region_code: "IA",
        postal_code: "50307",
        carrier: "comcast cable communications%2C llc",
        organization: "Comcast",
        latitude: "41.60054",
        longitude: "-93.60911",
        category: 0,
        category_value: "NONE",
        ip_tag: None,
        proxy: false,
        net: "198.19",
        net6: "2001:db8:60",
    },
    Place {
        country: "SE",
        city: "Stockholm",
        region: "Stockholms Län",
        region_code: "AB",
        postal_code: "111 20",
        carrier: "tor exit",
        organization: "Tor",
        latitude: "59.33258",
        longitude: "18.0649",
        category: 3,
        category_value: "RISKY",
        ip_tag: Some("2dfa95cd7922d979d66fcff5"),
        proxy: true,
        net: "192.0",
        net6: "2001:db8:70",
    },
    Place {
        country: "JP",
        city: "Tokyo",
        region: "Tokyo",
        region_code: "13",
        postal_code: "100-0001",
        carrier: "ntt communications corporation",
        organization: "NTT",
        latitude: "35.6895",
        longitude: "139.69171",
        category: 4,
        category_value: "VPN",
        ip_tag: None,
        proxy: false,
        net: "198.51",
        net6: "2001:db8:80",
    },
];
