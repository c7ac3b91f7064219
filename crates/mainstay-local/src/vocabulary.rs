//! A model's tokens: text to ids by the file's own vocabulary and merges, and ids to bytes. Byte-pair vocabularies only
//! (`tokenizer.ggml.model = gpt2`); nothing here knows what a conversation is.

mod byte_level;

use candle_core::quantized::tokenizer::TokenizerFromGguf;
use mainstay_core::{Error, Result, codes};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

use crate::gguf::{Gguf, unusable};

/// The token types of GGUF that are text a person may read.
const READABLE: [usize; 2] = [1, 4];
/// Tokens by which models of this family end a turn, besides the one that the file names.
const TURN_ENDS: [&str; 5] = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>"];

/// The tokens.
pub(crate) struct Vocabulary {
    tokenizer: Tokenizer,
    /// The bytes of all tokens, end to end; none for control tokens.
    bytes: Vec<u8>,
    /// Where each token's bytes end.
    ends: Vec<u32>,
    stops: Vec<u32>,
    /// The control tokens' texts.
    controls: Vec<String>,
    /// The token before everything else, and whether the tokenizer puts it there.
    begin: Option<(u32, bool)>,
    begin_text: String,
    end_text: String,
}

impl Vocabulary {
    /// Reads the vocabulary of a file.
    pub(crate) fn read(gguf: &Gguf) -> Result<Self> {
        let mut tokenizer = Tokenizer::from_gguf(gguf.content())
            .map_err(|e| unusable(gguf.name(), "its vocabulary cannot be used").with_source(e))?;
        let split = pre_tokenizer(gguf.text("tokenizer.ggml.pre").unwrap_or("gpt-2"));
        tokenizer
            .with_pre_tokenizer(Some(split.map_err(|e| Error::bug(format!("a fixed pattern failed: {e}")))?));
        let texts = texts(gguf)?;
        let kinds: Vec<usize> = gguf
            .list("tokenizer.ggml.token_type")
            .map(|kinds| kinds.iter().map(|kind| kind.to_i32().map_or(1, |k| k as usize)).collect())
            .unwrap_or_default();
        let readable = |id: usize| kinds.get(id).is_none_or(|kind| READABLE.contains(kind));
        let (bytes, ends) = pieces(&texts, readable);
        let text_of = |id: Option<usize>| id.and_then(|id| texts.get(id)).cloned().unwrap_or_default();
        let end = gguf.number("tokenizer.ggml.eos_token_id");
        let begin = gguf.number("tokenizer.ggml.bos_token_id").filter(|id| *id < texts.len());
        let adds_begin = gguf.flag("tokenizer.ggml.add_bos_token").unwrap_or(false);
        Ok(Self {
            stops: stops(&texts, end, readable),
            controls: texts
                .iter()
                .enumerate()
                .filter(|(id, _)| !readable(*id))
                .map(|(_, t)| t.clone())
                .collect(),
            begin: begin.and_then(|id| u32::try_from(id).ok()).map(|id| (id, adds_begin)),
            begin_text: text_of(begin),
            end_text: text_of(end),
            tokenizer,
            bytes,
            ends,
        })
    }

    /// The ids of a text in which control tokens stand for themselves.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoded = self.tokenizer.encode_fast(text, false).map_err(|e| {
            Error::new(&codes::PROVIDER_INVALID_REQUEST, "the text cannot be split into tokens")
                .with_source(e)
        })?;
        let mut ids = encoded.get_ids().to_vec();
        if let Some((begin, true)) = self.begin
            && ids.first() != Some(&begin)
        {
            ids.insert(0, begin);
        }
        Ok(ids)
    }

    /// The bytes of a token; none for a control token.
    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.bytes[start..self.ends[id] as usize]
    }

    /// Whether the token ends an answer.
    pub(crate) fn is_stop(&self, id: u32) -> bool {
        self.stops.contains(&id)
    }

    /// The texts that stand for control tokens, which must not come from a caller.
    pub(crate) fn controls(&self) -> &[String] {
        &self.controls
    }

    /// The texts of the tokens that begin and end everything, for templates; empty where there is none.
    pub(crate) fn begin_and_end(&self) -> (&str, &str) {
        (&self.begin_text, &self.end_text)
    }
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocabulary").field("tokens", &self.ends.len()).finish_non_exhaustive()
    }
}

fn texts(gguf: &Gguf) -> Result<Vec<String>> {
    let tokens = gguf.list("tokenizer.ggml.tokens").unwrap_or_default();
    let texts: Option<Vec<String>> = tokens.iter().map(|token| token.to_string().ok().cloned()).collect();
    texts.ok_or_else(|| unusable(gguf.name(), "its vocabulary is damaged"))
}

fn pieces(texts: &[String], readable: impl Fn(usize) -> bool) -> (Vec<u8>, Vec<u32>) {
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(texts.len()));
    for (id, text) in texts.iter().enumerate() {
        if readable(id) {
            byte_level::append_bytes(text, &mut bytes);
        }
        ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }
    (bytes, ends)
}

fn stops(texts: &[String], end: Option<usize>, readable: impl Fn(usize) -> bool) -> Vec<u32> {
    let ends_turn =
        |id: usize, text: &String| Some(id) == end || (!readable(id) && TURN_ENDS.contains(&text.as_str()));
    let stops = texts.iter().enumerate().filter(|(id, text)| ends_turn(*id, text));
    stops.filter_map(|(id, _)| u32::try_from(id).ok()).collect()
}

/// How text is cut before merging. Candle takes unknown names for GPT-2 with a leading space, which is another model's
/// habit: the names of GGUF files are decided here.
fn pre_tokenizer(name: &str) -> tokenizers::Result<PreTokenizerWrapper> {
    let bytes = |regex| ByteLevel::new(false, true, regex);
    let split_by = |pattern: &str| -> tokenizers::Result<PreTokenizerWrapper> {
        let pattern = SplitPattern::Regex(pattern.to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
        Ok(Sequence::new(vec![split.into(), bytes(false).into()]).into())
    };
    match name {
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => {
            Ok(Sequence::new(vec![Digits::new(true).into(), bytes(true).into()]).into())
        }
        "llama-bpe" | "llama3" | "llama-v3" | "smaug-bpe" => split_by(concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
            r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )),
        "qwen2" => split_by(concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|",
            r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )),
        _ => Ok(bytes(true).into()),
    }
}
