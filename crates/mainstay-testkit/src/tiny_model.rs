//! A GGUF model of two layers and a vocabulary of bytes, for tests: everything but its wits is real. Its weights are
//! made up, or such that it says what it is told to. It is no measure of speed.

use std::path::Path;

const WIDTH: usize = 64;
const INNER: usize = 96;
const LAYERS: usize = 2;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const TEMPLATE: &str = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' }}";

/// The control tokens; a turn ends with the last one.
const CONTROLS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
/// Where the byte tokens begin; each stands at its byte.
const BYTES_FROM: usize = CONTROLS.len();
/// The tokens that text is merged into, after the bytes.
const MERGED: [&str; 2] = ["he", "hel"];
const MERGES: [&str; 2] = ["h e", "he l"];
/// Where the words begin that a model is told to say.
const WORDS_FROM: usize = BYTES_FROM + 256 + MERGED.len();

/// Bytes to which the format aligns tensors.
const ALIGNMENT: usize = 32;

/// What a model that says what it is told to does after its last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Ends its turn.
    Ends,
    /// Says the last word again, for ever.
    Repeats,
}

/// Writes a model with made-up weights; another seed gives another model.
///
/// # Panics
/// Where the file cannot be written.
pub fn write(path: &Path, context: u32, seed: u32) {
    let tokens = tokens(&[]);
    let mut state = seed;
    let mut numbers = |shape: &[usize]| {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..shape.iter().product()).map(|_| next()).collect()
    };
    let mut tensors = vec![Tensor::new("token_embd", &[tokens.len(), WIDTH], &mut numbers)];
    tensors.push(Tensor::norm("output_norm"));
    tensors.extend(layers(&mut numbers));
    save(path, &metadata(&tokens, context), &tensors);
}

/// Writes a model that answers everything with these words, each a token of its own, and then does as told. Words must
/// differ from each other.
///
/// # Panics
/// For more words than the model is wide, and where the file cannot be written.
pub fn write_speaker(path: &Path, context: u32, words: &[&[u8]], then: Then) {
    assert!(words.len() < WIDTH, "a model of width {WIDTH} remembers fewer words");
    let tokens = tokens(words);
    // A prompt ends with a line end, which leads to the first word; each word leads to the next.
    let newline = BYTES_FROM + usize::from(b'\n');
    let chain: Vec<usize> = std::iter::once(newline).chain(WORDS_FROM..tokens.len()).collect();
    let last = match then {
        Then::Ends => CONTROLS.len() - 1,
        Then::Repeats => *chain.last().expect("a chain begins with the line end"),
    };
    let mut embeddings = vec![0.0; tokens.len() * WIDTH];
    let mut output = embeddings.clone();
    for (place, token) in chain.iter().enumerate() {
        let next = chain.get(place + 1).copied().unwrap_or(last);
        embeddings[token * WIDTH + place] = 1.0;
        output[next * WIDTH + place] = 1.0;
    }
    let mut zeros = |shape: &[usize]| vec![0.0; shape.iter().product()];
    let mut tensors = vec![Tensor::new("token_embd", &[tokens.len(), WIDTH], |_| embeddings)];
    tensors.push(Tensor::norm("output_norm"));
    tensors.push(Tensor::new("output", &[tokens.len(), WIDTH], |_| output));
    tensors.extend(layers(&mut zeros));
    save(path, &metadata(&tokens, context), &tensors);
}

/// The texts of the tokens: controls, the bytes, what is merged, and words.
fn tokens(words: &[&[u8]]) -> Vec<String> {
    let bytes = (0..=u8::MAX).map(|byte| letter(byte).to_string());
    let words = words.iter().map(|word| word.iter().map(|byte| letter(*byte)).collect());
    CONTROLS
        .map(str::to_owned)
        .into_iter()
        .chain(bytes)
        .chain(MERGED.map(str::to_owned))
        .chain(words)
        .collect()
}

/// The character that stands for a byte in vocabularies of byte pairs.
fn letter(byte: u8) -> char {
    let plain = |byte: u8| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    if plain(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !plain(*byte)).count();
    u32::try_from(0x100 + before).ok().and_then(char::from_u32).expect("there are few such bytes")
}

enum Value {
    Number(u32),
    Fraction(f32),
    Text(&'static str),
    Texts(Vec<String>),
    Kinds(Vec<i32>),
}

fn metadata(tokens: &[String], context: u32) -> Vec<(&'static str, Value)> {
    let number = |n: usize| Value::Number(u32::try_from(n).expect("it is tiny"));
    let kinds = (0..tokens.len()).map(|id| if id < BYTES_FROM { 3 } else { 1 }).collect();
    vec![
        ("general.architecture", Value::Text("llama")),
        ("llama.block_count", number(LAYERS)),
        ("llama.context_length", Value::Number(context)),
        ("llama.embedding_length", number(WIDTH)),
        ("llama.feed_forward_length", number(INNER)),
        ("llama.attention.head_count", number(HEADS)),
        ("llama.attention.head_count_kv", number(KV_HEADS)),
        ("llama.attention.layer_norm_rms_epsilon", Value::Fraction(1e-5)),
        ("tokenizer.ggml.model", Value::Text("gpt2")),
        ("tokenizer.ggml.pre", Value::Text("smollm")),
        ("tokenizer.ggml.tokens", Value::Texts(tokens.to_vec())),
        ("tokenizer.ggml.token_type", Value::Kinds(kinds)),
        ("tokenizer.ggml.merges", Value::Texts(MERGES.map(str::to_owned).to_vec())),
        ("tokenizer.ggml.bos_token_id", number(1)),
        ("tokenizer.ggml.eos_token_id", number(CONTROLS.len() - 1)),
        ("tokenizer.chat_template", Value::Text(TEMPLATE)),
    ]
}

struct Tensor {
    name: String,
    shape: Vec<usize>,
    numbers: Vec<f32>,
}

impl Tensor {
    fn new(name: &str, shape: &[usize], numbers: impl FnOnce(&[usize]) -> Vec<f32>) -> Self {
        Self { name: format!("{name}.weight"), shape: shape.to_vec(), numbers: numbers(shape) }
    }

    fn norm(name: &str) -> Self {
        Self::new(name, &[WIDTH], |_| vec![1.0; WIDTH])
    }
}

fn layers(numbers: &mut impl FnMut(&[usize]) -> Vec<f32>) -> Vec<Tensor> {
    let kv = WIDTH / HEADS * KV_HEADS;
    let mut tensors = Vec::new();
    for layer in 0..LAYERS {
        let norms = ["attn_norm", "ffn_norm"];
        tensors.extend(norms.map(|name| Tensor::norm(&format!("blk.{layer}.{name}"))));
        let shapes = [
            ("attn_q", [WIDTH, WIDTH]),
            ("attn_k", [kv, WIDTH]),
            ("attn_v", [kv, WIDTH]),
            ("attn_output", [WIDTH, WIDTH]),
            ("ffn_gate", [INNER, WIDTH]),
            ("ffn_up", [INNER, WIDTH]),
            ("ffn_down", [WIDTH, INNER]),
        ];
        tensors.extend(
            shapes.map(|(name, shape)| Tensor::new(&format!("blk.{layer}.{name}"), &shape, &mut *numbers)),
        );
    }
    tensors
}

/// Writes the file: header, metadata, the tensors' shapes and places, then their numbers (GGUF, version 3).
fn save(path: &Path, metadata: &[(&str, Value)], tensors: &[Tensor]) {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    put_length(&mut out, tensors.len());
    put_length(&mut out, metadata.len());
    for (key, value) in metadata {
        put_text(&mut out, key);
        put_value(&mut out, value);
    }
    let mut data = Vec::new();
    for tensor in tensors {
        put_text(&mut out, &tensor.name);
        out.extend(u32::try_from(tensor.shape.len()).expect("it has two dimensions at most").to_le_bytes());
        // The format names the fastest dimension first.
        tensor.shape.iter().rev().for_each(|size| put_length(&mut out, *size));
        out.extend(0_u32.to_le_bytes());
        put_length(&mut out, data.len());
        data.extend(tensor.numbers.iter().flat_map(|number| number.to_le_bytes()));
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    out.extend(data);
    std::fs::write(path, out).expect("the model's file can be written");
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend(u64::try_from(length).expect("lengths fit").to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend(text.as_bytes());
}

/// A value after its type; lists say the type of their items and how many there are.
fn put_value(out: &mut Vec<u8>, value: &Value) {
    const NUMBER: u32 = 4;
    const KIND: u32 = 5;
    const FRACTION: u32 = 6;
    const TEXT: u32 = 8;
    const LIST: u32 = 9;
    let put_type = |out: &mut Vec<u8>, kind: u32| out.extend(kind.to_le_bytes());
    match value {
        Value::Number(number) => {
            put_type(out, NUMBER);
            out.extend(number.to_le_bytes());
        }
        Value::Fraction(number) => {
            put_type(out, FRACTION);
            out.extend(number.to_le_bytes());
        }
        Value::Text(text) => {
            put_type(out, TEXT);
            put_text(out, text);
        }
        Value::Texts(texts) => {
            put_type(out, LIST);
            put_type(out, TEXT);
            put_length(out, texts.len());
            texts.iter().for_each(|text| put_text(out, text));
        }
        Value::Kinds(kinds) => {
            put_type(out, LIST);
            put_type(out, KIND);
            put_length(out, kinds.len());
            kinds.iter().for_each(|kind| out.extend(kind.to_le_bytes()));
        }
    }
}
