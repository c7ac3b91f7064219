//! Where the spec's repository is, taken apart.

use mainstay_core::plan::Deploy;
use mainstay_core::{Error, Result, codes};

/// A git repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repository<'a> {
    /// Its address, as given.
    pub(crate) url: &'a str,
    /// The host that has it.
    pub(crate) host: &'a str,
    /// Its name there, e.g. `acme/support-desk`.
    pub(crate) path: &'a str,
}

impl<'a> Repository<'a> {
    /// That of a spec, if it names one.
    pub(crate) fn of(deploy: &'a Deploy) -> Option<Self> {
        let url = deploy.repository.as_deref()?;
        let (_, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_once('/')?;
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = authority.split_once(':').map_or(authority, |(host, _)| host);
        let path = path.trim_end_matches('/');
        Some(Self { url, host, path: path.strip_suffix(".git").unwrap_or(path) })
    }

    /// That of a spec which must name one. Errors: `SHIP_INCOMPLETE`.
    pub(crate) fn demanded(deploy: &'a Deploy, target: &str) -> Result<Self> {
        Self::of(deploy).ok_or_else(|| {
            let message =
                format!("{target} fetches deployment files from a repository, and the spec names none");
            Error::new(&codes::SHIP_INCOMPLETE, message).with_help(
                "write its address under `deploy.repository`, e.g. `https://github.com/acme/support-desk`",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        for (url, host, path) in [
            ("https://github.com/acme/desk", "github.com", "acme/desk"),
            ("https://gitlab.example.com:8443/group/sub/desk.git", "gitlab.example.com", "group/sub/desk"),
            ("ssh://git@github.com/acme/desk.git", "github.com", "acme/desk"),
        ] {
            let deploy = Deploy { repository: Some(url.to_owned()), ..Deploy::default() };
            assert_eq!(Repository::of(&deploy), Some(Repository { url, host, path }));
        }
    }

    #[test]
    fn a_spec_without_one_is_told_what_to_write() {
        let error = Repository::demanded(&Deploy::default(), "Flux").unwrap_err();
        assert_eq!(error.code().id, "SHIP_INCOMPLETE");
        assert!(error.message().contains("Flux"), "{error:?}");
    }
}
