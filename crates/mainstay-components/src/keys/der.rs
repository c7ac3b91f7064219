//! RSA keys in the encodings that the provider of cryptography reads (DER: ITU-T X.690; RFC 8017, RFC 5280, RFC 5208).

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// AlgorithmIdentifier of rsaEncryption, with its NULL.
const RSA: [u8; 15] =
    [SEQUENCE, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// SubjectPublicKeyInfo of an RSAPublicKey.
pub(super) fn public(key: &[u8]) -> Vec<u8> {
    let bits = element(BIT_STRING, &[&[0], key].concat());
    element(SEQUENCE, &[&RSA[..], &bits].concat())
}

/// PrivateKeyInfo (PKCS #8) of an RSAPrivateKey.
pub(super) fn private(key: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[&integer(&[0])[..], &RSA, &element(OCTET_STRING, key)].concat())
}

/// RSAPublicKey of modulus and exponent.
pub(super) fn public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[integer(modulus), integer(exponent)].concat())
}

/// RSAPrivateKey of its numbers: n, e, d, p, q, dp, dq, qi.
pub(super) fn private_key(numbers: [&[u8]; 8]) -> Vec<u8> {
    let numbers = numbers.iter().map(|number| integer(number));
    let all: Vec<u8> = std::iter::once(integer(&[0])).chain(numbers).flatten().collect();
    element(SEQUENCE, &all)
}

/// A number that is not negative.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bare = &bytes[zeros.min(bytes.len().saturating_sub(1))..];
    let sign: &[u8] = if bare.first().is_none_or(|first| first & 0x80 != 0) { &[0] } else { &[] };
    element(INTEGER, &[sign, bare].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let short = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut made = vec![tag];
    match short {
        [] => made.push(0),
        [one] if *one < 0x80 => made.push(*one),
        _ => {
            // At most eight bytes of length.
            made.push(0x80 | short.len().to_le_bytes()[0]);
            made.extend_from_slice(short);
        }
    }
    made.extend_from_slice(content);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_sign_and_no_zeros_too_many() {
        let check = |bytes: &[u8], expect: &[u8]| assert_eq!(integer(bytes), expect, "{bytes:?}");
        check(&[], &[2, 1, 0]);
        check(&[0], &[2, 1, 0]);
        check(&[0, 0, 1], &[2, 1, 1]);
        check(&[0x80], &[2, 2, 0, 0x80]);
    }

    #[test]
    fn long_elements_say_how_long_their_length_is() {
        assert_eq!(element(4, &[7; 127])[..2], [4, 127]);
        assert_eq!(element(4, &[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(element(4, &[7; 300])[..4], [4, 0x82, 1, 44]);
    }
}
