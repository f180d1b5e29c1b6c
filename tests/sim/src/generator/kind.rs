//! The kinds of activities that the tenant holds, how frequent each is, and what a kind fixes.

use crate::random::Random;

/// What sort of activity a generated record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Entra sign-in that worked.
    SignIn,
    /// Entra sign-in that failed: no `user.userName`, but `failedUserData`.
    FailedSignIn,
    /// `SharePoint` audit event.
    SharePoint,
    /// `OneDrive` audit event.
    OneDrive,
    /// Exchange `MailItemsAccessed`: the large ones.
    MailItemsAccessed,
    /// Another Exchange audit event.
    Exchange,
    /// Teams audit event.
    Teams,
    /// Salesforce event; `_id` in the legacy form `<ms>_<guid>`.
    Salesforce,
    /// Defender for Identity event: name/value pairs as event objects; `_id` of 24 hex digits.
    Identity,
}

impl Kind {
    /// All kinds, each with its share of the activities in a thousand.
    pub const SHARES: [(Self, u32); 9] = [
        (Self::SignIn, 230),
        (Self::FailedSignIn, 115),
        (Self::SharePoint, 200),
        (Self::OneDrive, 160),
        (Self::MailItemsAccessed, 45),
        (Self::Exchange, 100),
        (Self::Teams, 90),
        (Self::Salesforce, 40),
        (Self::Identity, 20),
    ];

    pub(crate) fn draw(random: &mut Random) -> Self {
        let mut at = random.below(1000);
        for (kind, share) in Self::SHARES {
            if at < u64::from(share) {
                return kind;
            }
            at -= u64::from(share);
        }
        Self::SignIn
    }

    /// Application id (`appId`, filter `service`) of most records of this kind.
    pub fn app_id(self) -> i64 {
        match self {
            Self::SignIn | Self::FailedSignIn => 11161,
            Self::SharePoint => 20892,
            Self::OneDrive => 15600,
            Self::MailItemsAccessed | Self::Exchange => 20893,
            Self::Teams => 28375,
            Self::Salesforce => 11114,
            Self::Identity => 20595,
        }
    }

    /// Whether `timestamp` comes from an Office 365 audit record, which has whole seconds.
    pub(crate) fn has_whole_seconds(self) -> bool {
        matches!(
            self,
            Self::SharePoint
                | Self::OneDrive
                | Self::MailItemsAccessed
                | Self::Exchange
                | Self::Teams
        )
    }

    pub(crate) fn is_sign_in(self) -> bool {
        matches!(self, Self::SignIn | Self::FailedSignIn)
    }
}
