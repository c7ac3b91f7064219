//! Events come out whole, byte for byte, however the stream is cut.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

/// Frames, and the incomplete rest, of a stream that arrives in these chunks.
fn frames(chunks: &[&[u8]]) -> (Vec<Frame>, Option<Frame>) {
    let mut parser = Parser::default();
    let mut out = Vec::new();
    for chunk in chunks {
        parser.push(Bytes::copy_from_slice(chunk));
        while let Some(frame) = parser.next_frame().unwrap() {
            out.push(frame);
        }
    }
    (out, parser.finish())
}

fn check(stream: &str, events: &[(Option<&str>, Option<&str>)]) {
    let (frames, _) = frames(&[stream.as_bytes()]);
    let read: Vec<_> = frames.iter().map(|f| (f.event().map(text), f.data().map(|d| text(&d)))).collect();
    let wanted: Vec<_> = events.iter().map(|(e, d)| (e.map(str::to_owned), d.map(str::to_owned))).collect();
    assert_eq!(read, wanted, "{stream:?}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_line_end_ends_an_event() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = format!("data: a{end}{end}event: x{end}data:b{end}{end}");
        check(&stream, &[(None, Some("a")), (Some("x"), Some("b"))]);
    }
}

#[test]
fn data_over_several_lines_is_joined() {
    check("data: a\ndata\ndata:  b\n\n", &[(None, Some("a\n\n b"))]);
}

#[test]
fn comments_and_leading_blank_lines_are_kept_but_carry_nothing() {
    check("\n\n: ping\n\ndata: x\n\n", &[(None, None), (None, Some("x"))]);
}

#[test]
fn a_leading_byte_order_mark_is_not_part_of_the_first_name() {
    check("\u{feff}data: a\n\n", &[(None, Some("a"))]);
    check("\u{feff}\n\ndata: a\n\n\u{feff}data: b\n\n", &[(None, Some("a")), (None, None)]);
}

#[test]
fn an_event_without_its_blank_line_is_no_event() {
    let (whole, rest) = frames(&[b"data: a\n\ndata: b\n"]);
    assert_eq!(whole.len(), 1);
    assert_eq!(rest.unwrap().bytes().as_ref(), b"data: b\n");
}

#[test]
fn a_whole_event_is_a_slice_of_the_chunk() {
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let mut parser = Parser::default();
    parser.push(chunk.clone());
    let first = parser.next_frame().unwrap().unwrap();
    assert_eq!(first.bytes().as_ptr(), chunk.as_ptr());
}

#[test]
fn an_event_larger_than_the_bound_is_refused() {
    let mut parser = Parser::new(16);
    parser.push(Bytes::from_static(b"data: 0123456"));
    assert_eq!(parser.next_frame().unwrap(), None);
    parser.push(Bytes::from_static(b"789\n\n"));
    assert_eq!(parser.next_frame().unwrap_err().code().id, "PROVIDER_BAD_RESPONSE");
}

const PIECES: &[&[u8]] = &[
    b"\n",
    b"\r",
    b"\r\n",
    b"data: x",
    b"data",
    b":",
    b"event: e",
    b"\xef\xbb\xbf",
    b"\xef",
    b"\xbb",
    b"{}",
    b" ",
];

proptest! {
    #[test]
    fn chunking_changes_nothing(
        stream in prop::collection::vec(prop::sample::select(PIECES), 0..40),
        cuts in prop::collection::vec(0_usize..200, 0..12),
    ) {
        let stream = stream.concat();
        let mut cuts: Vec<_> = cuts.into_iter().map(|c| c % (stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunks: Vec<_> = cuts.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
        let whole = frames(&[&stream]);
        prop_assert_eq!(&whole, &frames(&chunks));
        let joined: Vec<u8> = whole.0.iter().chain(whole.1.as_ref()).flat_map(|f| f.bytes().to_vec()).collect();
        prop_assert_eq!(joined, stream);
    }
}
