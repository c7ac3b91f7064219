//! What is written of values and blocks; whether Terraform reads it so is asked in `tests/ship`.

use super::*;

#[test]
fn nothing_in_a_text_is_evaluated() {
    for (text, expect) in [
        ("plain", r#""plain""#),
        ("${x}", r#""$\u007bx}""#),
        ("$${x}", r#""$$\u007bx}""#),
        ("%{ if }", r#""%\u007b if }""#),
        ("{$}", r#""{$}""#),
        ("a\"b\\c\nd\te", r#""a\"b\\c\nd\te""#),
        ("\u{1}", r#""\u0001""#),
        ("", r#""""#),
    ] {
        assert_eq!(quoted(text), expect, "{text}");
    }
}

#[test]
fn a_file_has_the_form_of_terraform_fmt() {
    let inner = Body::new().set("path", "/health").set("port", 8080u16);
    let body = Body::new()
        .note("What it is.")
        .resource(
            "a_b",
            "c",
            Body::new()
                .set("name", "x")
                .set("long_name", raw("var.y"))
                .set("labels", object([("a", "1"), ("bc", "2")]))
                .set("after", true)
                .block("probe", inner)
                .block("empty", Body::new()),
        )
        .labelled("output", &["o"], Body::new().set("value", list(["a", "b"])));
    let expect = "\
# What it is.
resource \"a_b\" \"c\" {
  name      = \"x\"
  long_name = var.y
  labels = {
    a  = \"1\"
    bc = \"2\"
  }
  after = true

  probe {
    path = \"/health\"
    port = 8080
  }

  empty {}
}

output \"o\" {
  value = [\"a\", \"b\"]
}
";
    assert_eq!(body.written(), expect);
}

#[test]
fn keys_that_are_no_names_are_quoted() {
    let body = Body::new()
        .set("map", Expr::Map(vec![("a.b".to_owned(), 1u32.into()), ("null".to_owned(), 2u32.into())]));
    assert_eq!(body.written(), "map = {\n  \"a.b\"  = 1\n  \"null\" = 2\n}\n");
}

#[test]
fn a_function_of_objects_is_laid_out_line_by_line() {
    let one = object([("name", Expr::from("a")), ("ports", list(["x"]))]);
    let body = Body::new().set("j", Expr::Call("jsonencode", Box::new(Expr::List(vec![one]))));
    assert_eq!(body.written(), "j = jsonencode([\n  {\n    name  = \"a\"\n    ports = [\"x\"]\n  },\n])\n");
}
