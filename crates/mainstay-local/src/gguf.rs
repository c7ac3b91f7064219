//! GGUF files: metadata and tensors by name, with errors that name the file. What the values mean is the caller's.

mod requantised;
mod tracked;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use mainstay_core::{Error, Result, codes};

use crate::matrix::{BLOCK, Matrix, Q8_0_BYTES};
pub(crate) use requantised::requantised;
use tracked::Tracked;

/// An open file whose header has been read.
pub(crate) struct Gguf {
    content: Content,
    reader: BufReader<Tracked<File>>,
    name: String,
}

/// The error of a model file that cannot be used; `internal` goes to the log.
pub(crate) fn unusable(file: &str, why: impl std::fmt::Display) -> Error {
    Error::new(&codes::MODEL_FILE_UNAVAILABLE, format!("use the model file `{file}`: {why}")).with_help(
        "run `mainstay models list` to see what is there, and `mainstay models pull` to fetch it again",
    )
}

/// Candle's error without the backtrace that it carries in its text when `RUST_BACKTRACE` is set.
fn bare(error: candle_core::Error) -> candle_core::Error {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => bare(*inner),
        other => other,
    }
}

/// The file's name without its folder: what callers may see.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "?".to_owned(), |name| name.to_string_lossy().into_owned())
}

impl Gguf {
    /// Opens a file and reads its header.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = file_name(path);
        let file = File::open(path).map_err(|e| {
            unusable(&name, "it cannot be opened").with_internal(path.display().to_string()).with_source(e)
        })?;
        let mut reader = BufReader::with_capacity(1 << 16, Tracked::new(file));
        let content = Content::read(&mut reader).map_err(|e| {
            unusable(&name, "it is not a GGUF file, or only a part of one").with_source(bare(e))
        })?;
        Ok(Self { content, reader, name })
    }

    /// The header, for what reads it whole.
    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// The file's name, for errors.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A whole number of the metadata.
    pub(crate) fn number(&self, key: &str) -> Option<usize> {
        let value = self.content.metadata.get(key)?;
        let wide = value.to_u64().ok().or_else(|| value.to_i32().ok().and_then(|v| u64::try_from(v).ok()));
        wide.and_then(|v| usize::try_from(v).ok())
    }

    /// A whole number that the file must have.
    pub(crate) fn required(&self, key: &str) -> Result<usize> {
        self.number(key).ok_or_else(|| unusable(&self.name, format_args!("it does not say `{key}`")))
    }

    /// A fraction of the metadata.
    pub(crate) fn fraction(&self, key: &str) -> Option<f32> {
        self.content.metadata.get(key)?.to_f32().ok()
    }

    /// Text of the metadata.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.content.metadata.get(key)?.to_string().ok().map(String::as_str)
    }

    /// Yes or no of the metadata.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.content.metadata.get(key)?.to_bool().ok()
    }

    /// A list of the metadata.
    pub(crate) fn list(&self, key: &str) -> Option<&[Value]> {
        self.content.metadata.get(key)?.to_vec().ok().map(Vec::as_slice)
    }

    /// The names of all tensors.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &str> {
        self.content.tensor_infos.keys().map(String::as_str)
    }

    /// Whether the file has this tensor.
    pub(crate) fn has(&self, tensor: &str) -> bool {
        self.content.tensor_infos.contains_key(tensor)
    }

    /// Whether a matrix would have to be quantised anew to be multiplied by.
    pub(crate) fn needs_requantising(&self) -> bool {
        let matrices = self.content.tensor_infos.values().filter(|t| t.shape.rank() == 2);
        matrices.into_iter().any(|t| t.ggml_dtype != GgmlDType::Q8_0)
    }

    /// A vector of the given length.
    pub(crate) fn vector(&mut self, tensor: &str, length: usize) -> Result<Vec<f32>> {
        let read = self.read(tensor)?;
        let numbers = read.dequantize(&Device::Cpu).and_then(|t| t.flatten_all()).and_then(|t| t.to_vec1());
        let numbers: Vec<f32> = numbers.map_err(|e| self.damaged(tensor).with_source(bare(e)))?;
        if numbers.len() == length { Ok(numbers) } else { Err(self.damaged(tensor)) }
    }

    /// A matrix of the given shape, packed. One that is not `Q8_0` is quantised on the way.
    pub(crate) fn matrix(&mut self, tensor: &str, rows: usize, columns: usize) -> Result<Matrix> {
        let Some(info) = self.content.tensor_infos.get(tensor) else {
            return Err(unusable(&self.name, format_args!("it lacks the tensor `{tensor}`")));
        };
        if info.shape.dims() != [rows, columns] || !columns.is_multiple_of(BLOCK) {
            return Err(unusable(
                &self.name,
                format_args!("its tensor `{tensor}` has a shape that is not ours"),
            ));
        }
        let packed = if info.ggml_dtype == GgmlDType::Q8_0 {
            let bytes = self.q8_0_bytes(tensor, rows * columns / BLOCK * Q8_0_BYTES)?;
            Matrix::from_q8_0(rows, columns, &bytes)
        } else {
            let quantised = self.quantised(tensor)?;
            let bytes = quantised.data().map_err(|e| self.damaged(tensor).with_source(bare(e)))?;
            Matrix::from_q8_0(rows, columns, &bytes)
        };
        packed.ok_or_else(|| self.damaged(tensor))
    }

    /// A tensor as the file has it.
    fn read(&mut self, tensor: &str) -> Result<QTensor> {
        if !self.has(tensor) {
            return Err(unusable(&self.name, format_args!("it lacks the tensor `{tensor}`")));
        }
        let read = self.content.tensor(&mut self.reader, tensor, &Device::Cpu);
        read.map_err(|e| self.damaged(tensor).with_source(bare(e)))
    }

    /// A matrix quantised to `Q8_0`.
    fn quantised(&mut self, tensor: &str) -> Result<QTensor> {
        let read = self.read(tensor)?;
        let quantised =
            read.dequantize(&Device::Cpu).and_then(|numbers| QTensor::quantize(&numbers, GgmlDType::Q8_0));
        quantised.map_err(|e| self.damaged(tensor).with_source(bare(e)))
    }

    /// The bytes of a tensor, without the copy into candle's own blocks.
    fn q8_0_bytes(&mut self, tensor: &str, length: usize) -> Result<Vec<u8>> {
        let offset = self.content.tensor_infos.get(tensor).map_or(0, |info| info.offset);
        let start = self.content.tensor_data_offset.saturating_add(offset);
        let end = self.reader.seek(SeekFrom::End(0)).map_err(|e| self.damaged(tensor).with_source(e))?;
        if end.saturating_sub(start) < length as u64 {
            return Err(self.damaged(tensor));
        }
        let mut bytes = vec![0; length];
        let read = self.reader.seek(SeekFrom::Start(start)).and_then(|_| self.reader.read_exact(&mut bytes));
        read.map(|()| bytes).map_err(|e| self.damaged(tensor).with_source(e))
    }

    fn damaged(&self, tensor: &str) -> Error {
        unusable(&self.name, format_args!("its tensor `{tensor}` is damaged"))
    }
}

impl std::fmt::Debug for Gguf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gguf").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::backtrace::Backtrace;

    use super::*;

    #[test]
    fn a_message_has_no_backtrace_in_it() {
        let inner = Box::new(candle_core::Error::Msg("unknown magic".to_owned()));
        let backtrace = Box::new(Backtrace::force_capture());
        let error = candle_core::Error::WithBacktrace { inner, backtrace };
        assert!(error.to_string().lines().count() > 1);
        assert_eq!(bare(error).to_string(), "unknown magic");
    }
}
