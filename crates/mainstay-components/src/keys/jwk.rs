//! JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037) and sets of them.

use base64::Engine as _;
use mainstay_core::Redacted;
use serde_json::{Map, Value};

use super::{Curve, Key, Material, URL_SAFE, der};

/// Keys of a set.
const KEYS_MAX: usize = 256;

type Read<T> = Result<T, &'static str>;

/// The key in a text.
pub(super) fn of_text(text: &[u8]) -> Read<Key> {
    parse(&serde_json::from_slice(text).map_err(|_| "it is no JSON")?)
}

/// The keys in a text: a set, or a single key. Keys that cannot be read are left out, as the format demands.
pub(crate) fn parse_set(text: &[u8]) -> Read<Vec<Key>> {
    let value: Value = serde_json::from_slice(text).map_err(|_| "it is no JSON")?;
    match value.get("keys") {
        None => parse(&value).map(|key| vec![key]),
        Some(Value::Array(keys)) if keys.len() <= KEYS_MAX => {
            Ok(keys.iter().filter_map(|key| parse(key).ok()).collect())
        }
        Some(Value::Array(_)) => Err("it has more than 256 keys"),
        Some(_) => Err("its `keys` are no list"),
    }
}

/// A key.
fn parse(value: &Value) -> Read<Key> {
    let Value::Object(members) = value else { return Err("it is no JSON object") };
    let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
    let operations = members.get("key_ops").and_then(Value::as_array).into_iter().flatten();
    Ok(Key {
        id: text("kid"),
        algorithm: text("alg").filter(|text| !text.is_empty()),
        usage: text("use").filter(|text| !text.is_empty()),
        operations: operations.filter_map(Value::as_str).map(str::to_owned).collect(),
        material: material(members)?,
    })
}

fn material(members: &Map<String, Value>) -> Read<Material> {
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("kty") {
        "oct" => Ok(Material::Symmetric(Redacted::new(bytes(members, "k", "its `k` is no base64url")?))),
        "RSA" => rsa(members),
        "EC" => {
            let (curve, width) = match text("crv") {
                "P-256" => (Curve::P256, 32),
                "P-384" => (Curve::P384, 48),
                "P-521" => (Curve::P521, 66),
                _ => return Ok(Material::Other),
            };
            let (x, y) = (bytes(members, "x", POINT)?, bytes(members, "y", POINT)?);
            if x.len() != width || y.len() != width {
                return Err(POINT);
            }
            Ok(Material::Curve { curve, point: [&[4][..], &x, &y].concat() })
        }
        "OKP" if text("crv") == "Ed25519" => Ok(Material::Ed25519(bytes(members, "x", POINT)?)),
        "" => Err("it has no `kty`"),
        _ => Ok(Material::Other),
    }
}

const POINT: &str = "its `x` and `y` are no point of its curve";
const NUMBERS: &str = "its numbers are no base64url, or some are missing";

fn rsa(members: &Map<String, Value>) -> Read<Material> {
    let number = |name: &str| bytes(members, name, NUMBERS);
    let (n, e) = (number("n")?, number("e")?);
    let public = Some(der::public(&der::public_key(&n, &e)));
    if !members.contains_key("d") {
        return Ok(Material::Rsa { public, private: None });
    }
    let [d, p, q, dp, dq, qi] = ["d", "p", "q", "dp", "dq", "qi"].map(number);
    let (d, p, q, dp, dq, qi) = (d?, p?, q?, dp?, dq?, qi?);
    let private = der::private(&der::private_key([&n, &e, &d, &p, &q, &dp, &dq, &qi]));
    Ok(Material::Rsa { public, private: Some(Redacted::new(private)) })
}

fn bytes(members: &Map<String, Value>, name: &str, fault: &'static str) -> Read<Vec<u8>> {
    let text = members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or(fault)?;
    URL_SAFE.decode(text).map_err(|_| fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_leaves_out_what_it_cannot_read() {
        let set =
            br#"{"keys":[{"kty":"oct","k":"AAAA","kid":"a","use":"enc","key_ops":["wrapKey"],"alg":"A256KW"},
            {"kty":"RSA","kid":"b"},{"kty":"new","kid":"c"},5]}"#;
        let keys = parse_set(set).unwrap();
        let ids: Vec<_> = keys.iter().map(|key| key.id.as_deref().unwrap()).collect();
        assert_eq!(ids, ["a", "c"]);
        assert!(keys[0].is_for("enc", "wrapKey", "A256KW") && keys[1].material == Material::Other);
        assert_eq!(parse_set(br#"{"kty":"oct","k":"AAAA"}"#).unwrap().len(), 1);
    }

    #[test]
    fn points_have_the_width_of_their_curve() {
        let key = |curve: &str, width: usize| {
            let number = URL_SAFE.encode(vec![1; width]);
            parse(&serde_json::json!({"kty": "EC", "crv": curve, "x": number, "y": number}))
                .map(|key| key.material)
        };
        let Ok(Material::Curve { curve: Curve::P256, point }) = key("P-256", 32) else { panic!("P-256") };
        assert_eq!((point.len(), point[0]), (65, 4));
        assert_eq!(key("P-384", 32), Err(POINT));
        assert_eq!(key("secp256k1", 32), Ok(Material::Other));
    }

    #[test]
    fn faults_show_nothing_of_a_key() {
        for text in [
            "[]",
            r#"{"kty":"oct","k":"hunter2!"}"#,
            r#"{"kty":"RSA","n":"AQ"}"#,
            "hunter2",
            r#"{"keys":{}}"#,
        ] {
            assert!(!parse_set(text.as_bytes()).unwrap_err().contains("hunter2"), "{text}");
        }
        let many = format!(r#"{{"keys":[{}]}}"#, vec!["1"; KEYS_MAX + 1].join(","));
        assert!(parse_set(many.as_bytes()).is_err());
    }
}
