//! Base64 as the standard has it, for passwords.

pub(crate) fn base64(bytes: &[u8]) -> String {
    let letters: Vec<char> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['+', '/'])
        .collect();
    let letter = |bits: usize| letters.get(bits % 64).copied().unwrap_or('=');
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let byte = |at: usize| usize::from(chunk.get(at).copied().unwrap_or(0));
            let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
            [
                letter(bits >> 18),
                letter(bits >> 12),
                if chunk.len() > 1 {
                    letter(bits >> 6)
                } else {
                    '='
                },
                if chunk.len() > 2 { letter(bits) } else { '=' },
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob?>~", "Zm9vYj8+fg=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
