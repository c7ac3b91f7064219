//! Names and failures of the cryptography API.

use mainstay_core::crypto::{Cipher, Wrapping};
use mainstay_core::{Error, codes};

use crate::fault::{Fault, Grpc, is_not_found, said};

/// The wrapping of this name, in any case. Errors: `ERR_CRYPTO`.
pub fn wrapping(name: &str) -> Result<Wrapping, Fault> {
    match name.to_ascii_uppercase().as_str() {
        "A256KW" | "AES" => Ok(Wrapping::AesKw256),
        "RSA-OAEP-256" | "RSA" => Ok(Wrapping::RsaOaep256),
        other => Err(failed(&format!("option Algorithm is not valid: algorithm {other} is not supported"))),
    }
}

/// The cipher of this name, in any case; the usual one where it is empty. Errors: `ERR_CRYPTO`.
pub fn cipher(name: &str) -> Result<Cipher, Fault> {
    match name.to_ascii_uppercase().as_str() {
        "" => Ok(Cipher::default()),
        "AES-GCM" => Ok(Cipher::AesGcm),
        "CHACHA20-POLY1305" => Ok(Cipher::ChaCha20Poly1305),
        other => Err(failed(&format!("option Cipher is not valid: cipher {other} is not supported"))),
    }
}

/// The failure of a call to `vault`. `any`: whether there is a key vault at all.
#[must_use]
pub fn fault(vault: &str, any: bool, error: &Error) -> Fault {
    if is_not_found(error) && !any {
        let message = "crypto providers not configured";
        return Fault::new(500, Grpc::Internal, "ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED", message);
    }
    if is_not_found(error) {
        let message = format!("crypto provider {vault} not found");
        return Fault::new(400, Grpc::InvalidArgument, "ERR_CRYPTO_PROVIDER_NOT_FOUND", message);
    }
    let keys = [&codes::KEY_NOT_FOUND, &codes::KEY_UNSUITABLE, &codes::VAULT_UNAVAILABLE];
    if keys.contains(&error.code()) {
        return failed(&format!("failed to wrap the file key: {}", said(error)));
    }
    failed(&said(error))
}

/// An operation that failed.
#[must_use]
pub fn failed(why: &str) -> Fault {
    Fault::new(500, Grpc::Internal, "ERR_CRYPTO", format!("failed to perform operation: {why}"))
}

/// A request that lacks something.
#[must_use]
pub fn bad_request(why: &str) -> Fault {
    Fault::new(400, Grpc::InvalidArgument, "ERR_BAD_REQUEST", format!("invalid request: {why}"))
}

/// The operations of single keys, which the protocol's usual build does not have either.
#[must_use]
pub fn unimplemented() -> Fault {
    let message = "this API is currently not implemented";
    Fault::new(501, Grpc::Unimplemented, "ERR_API_UNIMPLEMENTED", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case_and_there_are_short_ones() {
        assert_eq!(wrapping("a256kw"), Ok(Wrapping::AesKw256));
        assert_eq!(wrapping("AES"), Ok(Wrapping::AesKw256));
        assert_eq!(wrapping("rsa"), wrapping("RSA-OAEP-256"));
        assert_eq!(wrapping("A128KW").unwrap_err().code, "ERR_CRYPTO");
        assert_eq!((cipher(""), cipher("aes-gcm")), (Ok(Cipher::AesGcm), Ok(Cipher::AesGcm)));
        assert_eq!(cipher("ChaCha20-Poly1305"), Ok(Cipher::ChaCha20Poly1305));
        assert_eq!(cipher("des").unwrap_err().http, 500);
    }

    #[test]
    fn statuses_are_the_protocols_own() {
        let check = |any: bool, code: &'static mainstay_core::Code, expect: (u16, Grpc, &str)| {
            let fault = fault("keys", any, &Error::new(code, "x"));
            assert_eq!((fault.http, fault.grpc, fault.code), expect, "{}", fault.message);
        };
        let missing = &codes::COMPONENT_NOT_FOUND;
        check(true, missing, (400, Grpc::InvalidArgument, "ERR_CRYPTO_PROVIDER_NOT_FOUND"));
        check(false, missing, (500, Grpc::Internal, "ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED"));
        check(true, &codes::KEY_NOT_FOUND, (500, Grpc::Internal, "ERR_CRYPTO"));
        check(true, &codes::CIPHERTEXT_INVALID, (500, Grpc::Internal, "ERR_CRYPTO"));
    }
}
