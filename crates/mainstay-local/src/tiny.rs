//! A model of two layers with made-up weights and a vocabulary of bytes, for tests: everything but its wits is real.

use std::fs::File;
use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

const WIDTH: usize = 64;
const INNER: usize = 96;
const LAYERS: usize = 2;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const TEMPLATE: &str = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' }}";

/// Writes the model; another seed gives another model.
pub(crate) fn write(path: &Path, context: u32, seed: u32) {
    let tokens = tokens();
    let metadata = metadata(&tokens, context);
    let tensors = tensors(tokens.len(), seed);
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut File::create(path).unwrap(), &metadata, &tensors).unwrap();
}

/// Three control tokens, the 256 bytes, and two merges of `he` and `hel`.
fn tokens() -> Vec<String> {
    let controls = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(str::to_owned);
    let plain = |byte: u32| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut others = 0x100..;
    let bytes: Vec<String> = (0..256_u32)
        .map(|byte| if plain(byte) { byte } else { others.next().unwrap() })
        .map(|code| char::from_u32(code).unwrap().to_string())
        .collect();
    controls.into_iter().chain(bytes).chain(["he".to_owned(), "hel".to_owned()]).collect()
}

fn metadata(tokens: &[String], context: u32) -> Vec<(&'static str, Value)> {
    let texts = |texts: &[&str]| Value::Array(texts.iter().map(|t| Value::String((*t).to_owned())).collect());
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let kinds = (0..tokens.len()).map(|id| Value::I32(if id < 3 { 3 } else { 1 })).collect();
    vec![
        ("general.architecture", Value::String("llama".into())),
        ("llama.block_count", Value::U32(LAYERS as u32)),
        ("llama.context_length", Value::U32(context)),
        ("llama.embedding_length", Value::U32(WIDTH as u32)),
        ("llama.feed_forward_length", Value::U32(INNER as u32)),
        ("llama.attention.head_count", Value::U32(HEADS as u32)),
        ("llama.attention.head_count_kv", Value::U32(KV_HEADS as u32)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("tokenizer.ggml.model", Value::String("gpt2".into())),
        ("tokenizer.ggml.pre", Value::String("smollm".into())),
        ("tokenizer.ggml.tokens", texts(&tokens)),
        ("tokenizer.ggml.token_type", Value::Array(kinds)),
        ("tokenizer.ggml.merges", texts(&["h e", "he l"])),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ("tokenizer.chat_template", Value::String(TEMPLATE.into())),
    ]
}

fn tensors(vocabulary: usize, seed: u32) -> Vec<(String, QTensor)> {
    let kv = WIDTH / HEADS * KV_HEADS;
    let mut shapes =
        vec![("token_embd".to_owned(), vec![vocabulary, WIDTH]), ("output_norm".to_owned(), vec![WIDTH])];
    for layer in 0..LAYERS {
        let mut push =
            |name: &str, shape: &[usize]| shapes.push((format!("blk.{layer}.{name}"), shape.to_vec()));
        push("attn_norm", &[WIDTH]);
        push("ffn_norm", &[WIDTH]);
        push("attn_q", &[WIDTH, WIDTH]);
        push("attn_k", &[kv, WIDTH]);
        push("attn_v", &[kv, WIDTH]);
        push("attn_output", &[WIDTH, WIDTH]);
        push("ffn_gate", &[INNER, WIDTH]);
        push("ffn_up", &[INNER, WIDTH]);
        push("ffn_down", &[WIDTH, INNER]);
    }
    let mut state = seed;
    shapes.into_iter().map(|(name, shape)| (format!("{name}.weight"), tensor(&shape, &mut state))).collect()
}

fn tensor(shape: &[usize], state: &mut u32) -> QTensor {
    let is_norm = shape.len() == 1;
    let mut next = || {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if is_norm { 1.0 } else { (*state >> 8) as f32 / (1 << 24) as f32 - 0.5 }
    };
    let numbers: Vec<f32> = (0..shape.iter().product::<usize>()).map(|_| next()).collect();
    QTensor::quantize(&Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap(), GgmlDType::F32).unwrap()
}
