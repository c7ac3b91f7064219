//! The alphabet in which byte-pair vocabularies write bytes: printable bytes stand for themselves, the others for
//! characters from U+0100 on.

/// Appends the bytes that a token's text stands for. A character outside the alphabet stands for itself.
pub(super) fn append_bytes(text: &str, bytes: &mut Vec<u8>) {
    let before = bytes.len();
    for character in text.chars() {
        match byte_of(character) {
            Some(byte) => bytes.push(byte),
            None => {
                bytes.truncate(before);
                bytes.extend_from_slice(text.as_bytes());
                return;
            }
        }
    }
}

fn byte_of(character: char) -> Option<u8> {
    let code = u32::from(character);
    match u8::try_from(code) {
        Ok(byte) if stands_for_itself(byte) => Some(byte),
        Ok(_) => None,
        Err(_) => {
            (0..=u8::MAX).filter(|byte| !stands_for_itself(*byte)).nth(code.checked_sub(0x100)? as usize)
        }
    }
}

fn stands_for_itself(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        let mut seen = [false; 256];
        for code in 0..0x200_u32 {
            if let Some(byte) = char::from_u32(code).and_then(byte_of) {
                assert!(!std::mem::replace(&mut seen[byte as usize], true), "two characters for {byte}");
            }
        }
        assert!(seen.iter().all(|seen| *seen));
    }

    #[test]
    fn a_token_s_text_becomes_its_bytes() {
        for (text, expected) in
            [("Ġt", " t".as_bytes()), ("Ċ", b"\n"), ("Ã©", "é".as_bytes()), ("日", "日".as_bytes())]
        {
            let mut bytes = Vec::new();
            append_bytes(text, &mut bytes);
            assert_eq!(bytes, expected, "{text}");
        }
    }
}
