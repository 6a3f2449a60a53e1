//! Makes the pages' files light while the program is built: comments and indentation go, and local and private names of
//! scripts get short.
//!
//! What a module exports keeps its names, and so do classes, which developers meet in their consoles. Nothing is moved or
//! computed, so a script does what stands in its source.

#![allow(clippy::disallowed_macros, reason = "cargo is told by what is printed")]

use std::fs;
use std::path::Path;

use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_mangler::{MangleOptions, MangleOptionsKeepNames, Mangler};
use oxc_parser::Parser;
use oxc_span::SourceType;

use squeeze::squeezed;

#[path = "src/web/squeeze.rs"]
mod squeeze;

/// What stands in the pages themselves, and so shares its names with every script of the page.
const IN_PAGES: &str = "reload.js";

fn main() {
    let web = Path::new("src/web");
    println!("cargo::rerun-if-changed={}", web.display());
    let out = std::env::var_os("OUT_DIR").expect("cargo names a folder");
    for folder in [web.to_owned(), web.join("client"), web.join("pages")] {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            let name = path.file_name().expect("a folder holds names").to_str().expect("names are UTF-8");
            if let Some(light) = light(name, &path) {
                fs::write(Path::new(&out).join(name), light).expect("the folder can be written");
            }
        }
    }
}

/// Returns a file as it is to be served, where that is not as it stands.
fn light(name: &str, path: &Path) -> Option<String> {
    let read = || squeezed(&fs::read_to_string(path).expect("texts are UTF-8"));
    match name.rsplit_once('.')?.1 {
        "js" => {
            let kind = if name == IN_PAGES { SourceType::script() } else { SourceType::mjs() };
            Some(shortened(&read(), kind).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        }
        "css" | "html" | "svg" | "webmanifest" => Some(read()),
        _ => None,
    }
}

/// Returns a script with short names; an error says what its language doesn't know.
///
/// Of a module no space is left. A script for browsers of any age keeps its lines: without them its texts would be
/// templates, which old ones can't read.
fn shortened(script: &str, kind: SourceType) -> Result<String, String> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, script, kind).parse();
    if let Some(error) = parsed.diagnostics.first() {
        return Err(error.to_string());
    }
    let keep_names = MangleOptionsKeepNames { class: true, ..MangleOptionsKeepNames::default() };
    let names = Mangler::new().with_options(MangleOptions { keep_names, ..MangleOptions::default() });
    let short = names.build(&parsed.program);
    let options = CodegenOptions { minify: kind.is_module(), ..CodegenOptions::minify() };
    let codegen = Codegen::new().with_options(options).with_scoping(Some(short.scoping));
    let written =
        codegen.with_private_member_mappings(Some(short.class_private_mappings)).build(&parsed.program).code;
    Ok(if kind.is_module() { written } else { squeezed(&written) })
}
