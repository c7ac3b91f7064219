//! Placeholders in settings' values: `{uuid}`, `{podName}`, `{namespace}` and `{appID}`. What they stand for is handed
//! in.

/// What placeholders stand for.
#[derive(Clone, Copy, Debug)]
pub struct Placeholders<'a> {
    /// The app's id.
    pub app_id: &'a str,
    /// The namespace; empty without one.
    pub namespace: &'a str,
    /// The name of this replica's pod, where it has one.
    pub pod: Option<&'a str>,
}

/// There is a `{podName}` in the value, and no name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPod;

impl Placeholders<'_> {
    /// Fills in a value. Each `{uuid}` asks `uuid` for a new one; `{namespace}` is the namespace and the app id with a
    /// point between.
    pub fn fill(&self, value: &str, uuid: &mut dyn FnMut() -> String) -> Result<String, NoPod> {
        let mut out = String::with_capacity(value.len());
        let mut parts = value.split(UUID);
        out.push_str(parts.next().unwrap_or_default());
        for part in parts {
            out.push_str(&uuid());
            out.push_str(part);
        }
        if out.contains(POD) {
            out = out.replace(POD, self.pod.ok_or(NoPod)?);
        }
        let namespace = format!("{}.{}", self.namespace, self.app_id);
        Ok(out.replace(NAMESPACE, &namespace).replace(APP, self.app_id))
    }
}

const UUID: &str = "{uuid}";
const POD: &str = "{podName}";
const NAMESPACE: &str = "{namespace}";
const APP: &str = "{appID}";

/// Whether a value has placeholders.
pub(super) fn has_any(value: &str) -> bool {
    [UUID, POD, NAMESPACE, APP].iter().any(|placeholder| value.contains(placeholder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(value: &str, pod: Option<&str>) -> Result<String, NoPod> {
        let mut count = 0;
        let mut uuid = || {
            count += 1;
            format!("u{count}")
        };
        Placeholders { app_id: "shop", namespace: "prod", pod }.fill(value, &mut uuid)
    }

    #[test]
    fn every_placeholder_has_its_value() {
        assert_eq!(fill("{appID}-{uuid}-{uuid}", None), Ok("shop-u1-u2".to_owned()));
        assert_eq!(fill("{namespace}/{podName}", Some("p-0")), Ok("prod.shop/p-0".to_owned()));
        assert_eq!(fill("{appid} {x} {", None), Ok("{appid} {x} {".to_owned()));
    }

    #[test]
    fn a_pod_without_a_name_is_an_error() {
        assert_eq!(fill("{podName}", None), Err(NoPod));
    }
}
