//! Reads which interfaces a component imports. It knows just enough of the binary format for that, and refuses files that are
//! not components.

use anyhow::{Context, Result, bail};

/// `\0asm` and the version and layer of a component.
const COMPONENT_HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
/// The id of the import section of a component.
const IMPORT_SECTION: u8 = 10;

/// The names of the interfaces that the component itself imports, in order.
pub(crate) fn imports(bytes: &[u8]) -> Result<Vec<String>> {
    let Some(body) = bytes.strip_prefix(COMPONENT_HEADER) else {
        bail!("this is not a WebAssembly component");
    };
    let mut input = Input(body);
    let mut found = Vec::new();
    while !input.0.is_empty() {
        let id = input.byte()?;
        let length = usize::try_from(input.number()?)?;
        let section = input.take(length)?;
        if id == IMPORT_SECTION {
            found.extend(section_imports(Input(section))?);
        }
    }
    Ok(found)
}

fn section_imports(mut section: Input) -> Result<Vec<String>> {
    let count = section.number()?;
    let mut names = Vec::new();
    for _ in 0..count {
        // The kind of name: 0 and 1 are plain, both followed by the text.
        section.byte()?;
        let length = usize::try_from(section.number()?)?;
        names.push(String::from_utf8(section.take(length)?.to_vec())?);
        section.skip_extern_desc()?;
    }
    Ok(names)
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .context("the component ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = self.take(1)?.first().copied();
        byte.context("the component ends too early")
    }

    /// An unsigned LEB128 number.
    fn number(&mut self) -> Result<u32> {
        let mut value = 0_u32;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f)
                .checked_shl(shift)
                .context("a number is too long")?;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        bail!("a number is too long")
    }

    /// What kind of thing is imported: a core module, a function, a value, a type, a component or an instance.
    fn skip_extern_desc(&mut self) -> Result<()> {
        match self.byte()? {
            0x00 => {
                self.byte()?;
                self.number()?;
            }
            0x01 | 0x04 | 0x05 => {
                self.number()?;
            }
            // A type bound: equal to an index, or any resource.
            0x03 => {
                if self.byte()? == 0 {
                    self.number()?;
                }
            }
            other => bail!("an import of an unknown kind ({other:#04x})"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component with a section to skip and one import of an instance, `a:b/c`, of type 0.
    fn component() -> Vec<u8> {
        let mut bytes = COMPONENT_HEADER.to_vec();
        bytes.extend([0, 3, 1, b'x', 0]);
        bytes.extend([IMPORT_SECTION, 10, 1, 0, 5]);
        bytes.extend(b"a:b/c");
        bytes.extend([0x05, 0]);
        bytes
    }

    #[test]
    fn imports_are_read() {
        assert_eq!(imports(&component()).unwrap(), ["a:b/c"]);
        assert!(imports(COMPONENT_HEADER).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_component_is_refused() {
        assert!(imports(b"").is_err());
        assert!(imports(b"\0asm\x01\0\0\0").is_err(), "a core module");
        let whole = component();
        for end in COMPONENT_HEADER.len() + 1..whole.len() {
            let cut = whole.get(..end).unwrap();
            let at_a_section = end == COMPONENT_HEADER.len() + 5;
            assert_eq!(imports(cut).is_ok(), at_a_section, "cut at {end}");
        }
    }
}
