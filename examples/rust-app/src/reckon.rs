//! Finds a sum in a text and works it out: numbers, `+ - * /` and parentheses, with the usual precedence.

/// A sum worked out; no result where the text has none.
#[derive(Debug, PartialEq)]
pub struct Reckoning {
    pub steps: Vec<String>,
    pub result: Option<f64>,
}

/// Deepest nesting of parentheses.
const DEPTH_MAX: usize = 64;

/// Works out the sum in `text`. The error says what is wrong with it.
pub fn reckon(text: &str) -> Result<Reckoning, String> {
    let sum: String = text.chars().filter(|c| c.is_ascii_digit() || "+-*/().".contains(*c)).collect();
    let sum = sum.trim_end_matches('.');
    if !sum.contains(|c: char| c.is_ascii_digit()) || !sum.contains(['+', '-', '*', '/']) {
        return Ok(Reckoning { steps: Vec::new(), result: None });
    }
    let mut reader = Reader { rest: sum, steps: Vec::new(), depth: 0 };
    let result = reader.terms()?;
    if !reader.rest.is_empty() {
        return Err(format!("the sum goes wrong before `{}`", reader.rest));
    }
    Ok(Reckoning { steps: reader.steps, result: Some(result) })
}

struct Reader<'a> {
    rest: &'a str,
    steps: Vec<String>,
    depth: usize,
}

impl Reader<'_> {
    fn terms(&mut self) -> Result<f64, String> {
        let mut left = self.factors()?;
        while let Some(operator) = self.take(&['+', '-']) {
            let right = self.factors()?;
            left = self.step(left, operator, right)?;
        }
        Ok(left)
    }

    fn factors(&mut self) -> Result<f64, String> {
        let mut left = self.value()?;
        while let Some(operator) = self.take(&['*', '/']) {
            let right = self.value()?;
            left = self.step(left, operator, right)?;
        }
        Ok(left)
    }

    fn value(&mut self) -> Result<f64, String> {
        if self.take(&['-']).is_some() {
            return self.deeper(|reader| reader.value().map(|value| -value));
        }
        if self.take(&['(']).is_some() {
            let value = self.deeper(Self::terms)?;
            return if self.take(&[')']).is_some() { Ok(value) } else { Err("a parenthesis is not closed".to_owned()) };
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        number.parse().map_err(|_| format!("`{number}` is not a number"))
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Result<f64, String>) -> Result<f64, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("the sum is nested deeper than {DEPTH_MAX}"));
        }
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn take(&mut self, wanted: &[char]) -> Option<char> {
        let next = self.rest.chars().next().filter(|c| wanted.contains(c))?;
        self.rest = &self.rest[1..];
        Some(next)
    }

    fn step(&mut self, left: f64, operator: char, right: f64) -> Result<f64, String> {
        let value = match operator {
            '+' => left + right,
            '-' => left - right,
            '*' => left * right,
            _ if right == 0.0 => return Err("it divides by zero".to_owned()),
            _ => left / right,
        };
        self.steps.push(format!("{left} {operator} {right} = {value}"));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(text: &str) -> Option<f64> {
        reckon(text).unwrap().result
    }

    #[test]
    fn precedence_is_the_usual_one() {
        assert_eq!(result("What is 3 * (4 + 5) - 6 / 2?"), Some(24.0));
        assert_eq!(result("-2 * -3."), Some(6.0));
        assert_eq!(reckon("1 + 2 * 3").unwrap().steps, ["2 * 3 = 6", "1 + 6 = 7"]);
    }

    #[test]
    fn a_text_without_a_sum_has_no_result() {
        assert_eq!(result("Hello"), None);
        assert_eq!(result("Room 12"), None);
    }

    #[test]
    fn a_sum_that_goes_wrong_is_told() {
        for (text, why) in [("1 / 0", "divides by zero"), ("(1 + 2", "not closed"), ("1 + + 2", "not a number")] {
            assert!(reckon(text).unwrap_err().contains(why), "{text}");
        }
        assert!(reckon(&format!("{}1+1", "(".repeat(1000))).unwrap_err().contains("nested"));
    }
}
