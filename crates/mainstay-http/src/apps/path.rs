//! A path as routes see it: decoded segments, and a refusal of what its next reader could take for another path.

/// The beginnings of a path, decoded, from its whole to its first segment.
pub(super) struct Prefixes {
    /// The first segments, each after its `/`.
    text: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Prefixes {
    /// The beginnings of a path, of `depth` segments at most. The whole path is looked at. Errors: how it could be
    /// read otherwise.
    pub(super) fn of(path: &str, depth: usize) -> Result<Self, &'static str> {
        let mut prefixes = Self { text: Vec::new(), ends: Vec::new() };
        let Some(rest) = path.strip_prefix('/') else { return Ok(prefixes) };
        let mut segments = rest.split('/').peekable();
        while let Some(segment) = segments.next() {
            if segment.is_empty() {
                match segments.peek() {
                    Some(_) => return Err("it has an empty segment"),
                    None => break,
                }
            }
            let decoded = decoded(segment)?;
            if prefixes.ends.len() < depth {
                prefixes.text.push(b'/');
                prefixes.text.extend_from_slice(&decoded);
                prefixes.ends.push(prefixes.text.len());
            }
        }
        Ok(prefixes)
    }

    pub(super) fn longest_first(&self) -> impl Iterator<Item = &[u8]> {
        self.ends.iter().rev().map(|&end| &self.text[..end])
    }
}

/// What a segment says. Errors: it could say something else to another reader.
fn decoded(segment: &str) -> Result<Vec<u8>, &'static str> {
    let bytes = segment.as_bytes();
    let mut says = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'%' {
            says.push(byte);
            at += 1;
            continue;
        }
        let pair = (bytes.get(at + 1).and_then(digit), bytes.get(at + 2).and_then(digit));
        let (Some(high), Some(low)) = pair else { return Err("it has a `%` that encodes nothing") };
        says.push(high << 4 | low);
        at += 3;
    }
    if says.iter().any(|byte| matches!(byte, b'/' | b'\\')) {
        return Err("it has an encoded slash, or a backslash");
    }
    if says.iter().any(u8::is_ascii_control) {
        return Err("it has a control character");
    }
    // Some readers take what follows `;` for a parameter, and look at dots after that.
    let name = says.split(|byte| *byte == b';').next().unwrap_or_default();
    if matches!(name, b"." | b"..") {
        return Err("it has a segment of dots");
    }
    if decodes_again(&says) {
        return Err("it is encoded twice");
    }
    Ok(says)
}

/// Whether a second decoding would find a dot, a slash or a backslash.
fn decodes_again(says: &[u8]) -> bool {
    says.windows(3).any(|three| {
        let [b'%', high, low] = three else { return false };
        let (Some(high), Some(low)) = (digit(high), digit(low)) else { return false };
        matches!(high << 4 | low, b'.' | b'/' | b'\\')
    })
}

fn digit(byte: &u8) -> Option<u8> {
    char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
