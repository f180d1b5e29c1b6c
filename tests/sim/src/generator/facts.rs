//! What the kind-independent part of a record needs to know, gathered before anything is written.

use super::kind::Kind;
use super::odd::Odd;
use super::sketch::Sketch;
use super::world::World;
use crate::random::Random;

/// One activity, decided but not yet written.
#[derive(Debug)]
pub(crate) struct Facts<'w> {
    pub(crate) world: &'w World,
    pub(crate) sketch: Sketch<'w>,
    pub(crate) kind: Kind,
    pub(crate) created_ms: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) operation: &'static str,
    pub(crate) failure: Option<Failure>,
    /// Id of the request or correlation, shared by several places of the record.
    pub(crate) correlation: String,
    /// A file, mailbox folder, team or object that was touched.
    pub(crate) target: String,
    pub(crate) odd: Option<Odd>,
}

/// Why a sign-in failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) code: i64,
    pub(crate) message: &'static str,
}

const FAILURES: [Failure; 4] = [
    Failure {
        code: 50126,
        message: "Error validating credentials due to invalid username or password.",
    },
    Failure {
        code: 16000,
        message: "General failure",
    },
    Failure {
        code: 50053,
        message: "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.",
    },
    Failure {
        code: 53003,
        message: "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    },
];

const FILES: [&str; 8] = [
    "iban example.docx",
    "Budget 2027 – draft.xlsx",
    "Kundenübersicht.xlsx",
    "release-notes.md",
    "Board deck (final) v7.pptx",
    "payroll.csv",
    "export \"all\".zip",
    "notes & minutes.one",
];

impl<'w> Facts<'w> {
    pub(crate) fn draw(
        world: &'w World,
        kind: Kind,
        created_ms: i64,
        timestamp_ms: i64,
        odd_per_mille: u32,
        random: &mut Random,
    ) -> Self {
        let sketch = Sketch::draw(world, kind, created_ms, random);
        Self {
            world,
            kind,
            created_ms,
            timestamp_ms,
            operation: operation(kind, random),
            failure: (kind == Kind::FailedSignIn).then(|| *random.pick(&FAILURES)),
            correlation: random.guid(),
            target: (*random.pick(&FILES)).to_owned(),
            odd: Odd::draw(random, odd_per_mille),
            sketch,
        }
    }

    pub(crate) fn is_odd(&self, odd: Odd) -> bool {
        self.odd == Some(odd)
    }

    pub(crate) fn app_name(&self) -> &'static str {
        match self.sketch.app_id {
            11161 => "Office 365",
            20893 => "Microsoft Exchange Online",
            20892 => "Microsoft SharePoint Online",
            15600 => "Microsoft OneDrive for Business",
            28375 => "Microsoft Teams",
            11114 => "Salesforce",
            _ => "Microsoft Defender for Cloud Apps",
        }
    }

    /// The application whose connector delivered the record.
    pub(crate) fn src_app_id(&self) -> i64 {
        match self.kind {
            Kind::Salesforce => 11114,
            Kind::Identity => 20595,
            _ => 11161,
        }
    }

    /// Numeric and symbolic type, category, generic class, `mainInfo.type`.
    pub(crate) fn event_type(&self) -> EventType {
        let (number, value, category) = match (self.kind, self.operation) {
            (Kind::SignIn, _) => (2_293_762, "EVENT_AAD_LOGIN", "EVENT_CATEGORY_LOGIN"),
            (Kind::FailedSignIn, _) => (
                2_293_761,
                "EVENT_AAD_LOGIN_FAILED",
                "EVENT_CATEGORY_FAILED_LOGIN",
            ),
            (Kind::SharePoint, "FileDownloaded") => (
                233_583,
                "EVENT_O365_SHAREPOINT_GENERIC",
                "EVENT_CATEGORY_DOWNLOAD_FILE",
            ),
            (Kind::SharePoint, "FileUploaded") => (
                233_583,
                "EVENT_O365_SHAREPOINT_GENERIC",
                "EVENT_CATEGORY_UPLOAD_FILE",
            ),
            (Kind::SharePoint, _) => (
                233_583,
                "EVENT_O365_SHAREPOINT_GENERIC",
                "EVENT_CATEGORY_UNSPECIFIED",
            ),
            (Kind::OneDrive, "FileDownloaded") => (
                233_580,
                "EVENT_O365_ONEDRIVE_GENERIC",
                "EVENT_CATEGORY_DOWNLOAD_FILE",
            ),
            (Kind::OneDrive, _) => (
                233_580,
                "EVENT_O365_ONEDRIVE_GENERIC",
                "EVENT_CATEGORY_UNSPECIFIED",
            ),
            (Kind::MailItemsAccessed | Kind::Exchange, "HardDelete") => (
                233_573,
                "EVENT_O365_EXCHANGE_GENERIC",
                "EVENT_CATEGORY_DELETE_OBJECT",
            ),
            (Kind::MailItemsAccessed | Kind::Exchange, _) => (
                233_573,
                "EVENT_O365_EXCHANGE_GENERIC",
                "EVENT_CATEGORY_UNSPECIFIED",
            ),
            (Kind::Teams, _) => (
                233_590,
                "EVENT_O365_TEAMS_GENERIC",
                "EVENT_CATEGORY_UNSPECIFIED",
            ),
            (Kind::Salesforce, _) => (
                1_048_590,
                "EVENT_SALESFORCE_GENERIC",
                "EVENT_CATEGORY_VIEW_REPORT",
            ),
            (Kind::Identity, _) => (4_194_320, "EVENT_AATP_GENERIC", "EVENT_CATEGORY_LOGIN"),
        };
        let (generic, main) = match self.kind {
            Kind::FailedSignIn => ("ENUM_ACTIVITY_GENERIC_TYPE_FAILED_LOGIN", "failedLogin"),
            Kind::SignIn => ("ENUM_ACTIVITY_GENERIC_TYPE_LOGIN", "login"),
            Kind::Salesforce => ("ENUM_ACTIVITY_GENERIC_TYPE_RUN", "run"),
            _ => ("ENUM_ACTIVITY_GENERIC_TYPE_BASIC", "basic"),
        };
        EventType {
            number,
            value,
            category,
            generic,
            main,
        }
    }
}

/// The names that one type of event has in a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventType {
    pub(crate) number: i64,
    pub(crate) value: &'static str,
    pub(crate) category: &'static str,
    pub(crate) generic: &'static str,
    pub(crate) main: &'static str,
}

fn operation(kind: Kind, random: &mut Random) -> &'static str {
    let from: &[&'static str] = match kind {
        Kind::SignIn | Kind::FailedSignIn => {
            &["OAuth2:Authorize", "OAuth2:Token", "Saml2:processrequest"]
        }
        Kind::SharePoint | Kind::OneDrive => &[
            "FilePreviewed",
            "FileAccessed",
            "FileModified",
            "FileDownloaded",
            "FileUploaded",
            "SharingSet",
        ],
        Kind::MailItemsAccessed => &["MailItemsAccessed"],
        Kind::Exchange => &[
            "Send",
            "HardDelete",
            "Set-Mailbox",
            "UpdateInboxRules",
            "MoveToDeletedItems",
        ],
        Kind::Teams => &[
            "MessageSent",
            "MessageCreatedHasLink",
            "TeamsSessionStarted",
            "MemberAdded",
        ],
        Kind::Salesforce => &["ReportExport", "Run report"],
        Kind::Identity => &["Kerberos logon", "LDAP query"],
    };
    from[random.index(from.len())]
}
