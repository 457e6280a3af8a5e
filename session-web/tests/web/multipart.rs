//! Multipart forms, as browsers send them.

const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";

/// The header `Content-Type` of such a form.
pub(crate) fn content_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

/// What a browser sends of a form with these fields and a file of that many bytes.
pub(crate) fn form(fields: &[(&str, &str)], file: usize) -> String {
    let mut body = String::new();
    for (name, value) in fields {
        let head = format!("Content-Disposition: form-data; name=\"{name}\"");
        body.push_str(&format!("--{BOUNDARY}\r\n{head}\r\n\r\n{value}\r\n"));
    }
    let head = "Content-Disposition: form-data; name=\"photo\"; filename=\"a.jpg\"";
    let file = "x".repeat(file);
    format!("{body}--{BOUNDARY}\r\n{head}\r\n\r\n{file}\r\n--{BOUNDARY}--\r\n")
}
