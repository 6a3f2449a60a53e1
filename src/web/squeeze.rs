//! Texts without what only their authors read. The build squeezes what is served; here it is tested.

/// Returns a text without indentation, empty lines and comments.
///
/// Those are `/* … */` on lines of their own, none of which goes on after it.
pub(super) fn squeezed(text: &str) -> String {
    let mut squeezed = String::with_capacity(text.len());
    let mut is_comment = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        is_comment |= line.starts_with("/*");
        if !is_comment {
            squeezed.push_str(line);
            squeezed.push('\n');
        }
        is_comment &= !line.ends_with("*/");
    }
    squeezed
}
