//! The forward computation on a tiny model: what it computes must not depend on how the tokens come.

use super::*;
use crate::tiny;

fn load(context: u32) -> (Llama, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    tiny::write(&path, context, 7);
    (Llama::load(&mut Gguf::open(&path).unwrap(), 4096).unwrap(), folder)
}

fn check_same_logits(pieces: &[&[u32]]) {
    let (llama, _folder) = load(256);
    let whole: Vec<u32> = pieces.concat();
    let (mut cache, mut scratch) = (KvCache::new(llama.hyper()), Scratch::default());
    llama.forward(&whole, &mut cache, &mut scratch);
    let expected = scratch.logits().to_vec();
    let mut cache = KvCache::new(llama.hyper());
    for piece in pieces {
        llama.forward(piece, &mut cache, &mut scratch);
    }
    let most = expected.iter().fold(0_f32, |most, logit| most.max(logit.abs()));
    for (logit, expected) in scratch.logits().iter().zip(&expected) {
        assert!((logit - expected).abs() < most * 1e-4, "{logit} for {expected}");
    }
}

#[test]
fn a_conversation_read_in_pieces_is_the_same_conversation() {
    let tokens: Vec<u32> = (0..50).map(|i| 3 + i * 5 % 250).collect();
    check_same_logits(&[&tokens[..1], &tokens[1..2], &tokens[2..40], &tokens[40..]]);
}

#[test]
fn earlier_tokens_matter() {
    let (llama, _folder) = load(64);
    let logits = |tokens: &[u32]| {
        let (mut cache, mut scratch) = (KvCache::new(llama.hyper()), Scratch::default());
        llama.forward(tokens, &mut cache, &mut scratch);
        scratch.logits().to_vec()
    };
    assert_ne!(logits(&[10, 20, 30]), logits(&[20, 10, 30]));
}

#[test]
fn a_prefix_is_kept_and_the_rest_forgotten() {
    let (llama, _folder) = load(64);
    let (mut cache, mut scratch) = (KvCache::new(llama.hyper()), Scratch::default());
    llama.forward(&[5, 6, 7, 8], &mut cache, &mut scratch);
    assert_eq!(cache.keep_prefix(&[5, 6, 9, 9]), 2);
    llama.forward(&[9, 9], &mut cache, &mut scratch);
    let after = scratch.logits().to_vec();
    let mut fresh = KvCache::new(llama.hyper());
    llama.forward(&[5, 6, 9, 9], &mut fresh, &mut scratch);
    for (after, fresh) in after.iter().zip(scratch.logits()) {
        assert!((after - fresh).abs() < 1e-3, "{after} for {fresh}");
    }
    // The last token is always computed again: its logits are what the answer begins with.
    assert_eq!(cache.keep_prefix(&[5, 6, 9, 9]), 3);
}

#[test]
fn the_context_is_the_smaller_of_the_model_s_and_ours() {
    assert_eq!(load(64).0.hyper().context, 64);
    assert_eq!(load(100_000).0.hyper().context, 4096);
}
