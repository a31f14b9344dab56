//! User name and password: apart, or in base64.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::{platform::reading::placeholder::TOKEN_USERNAME, secret::Secret, upstream::Credential};

/// With or without padding, as Kubernetes accepts it.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The invalid field and the reason.
pub(in crate::platform) type FieldError = (&'static str, &'static str);

/// `auth`: the base64 of `USER:PASSWORD`.
pub(in crate::platform) fn decode_basic(encoded: &str) -> Result<Credential, &'static str> {
    // Some tools break lines and pad with NUL.
    let encoded: String = encoded.split_ascii_whitespace().collect();
    let bytes = BASE64
        .decode(encoded)
        .map_err(|_error| "this is not the base64 of USER:PASSWORD")?;
    let text = String::from_utf8(bytes).map_err(|_error| "this is not text in base64")?;
    let text = text.trim_end_matches('\0');
    if text.contains('\0') {
        return Err("it contains a NUL");
    }
    let (username, password) = text
        .split_once(':')
        .ok_or("the decoded USER:PASSWORD has no colon")?;
    password_credentials(username, password).map_err(|(_, reason)| reason)
}

pub(in crate::platform) fn password_credentials(
    username: &str,
    password: &str,
) -> Result<Credential, FieldError> {
    if username.is_empty() {
        return Err(("username", "the user name is empty"));
    }
    if password.is_empty() {
        return Err(("password", "the password is empty"));
    }
    if username.contains(|letter: char| letter == ':' || letter.is_control()) {
        let reason = "a user name must not contain a colon or control characters";
        return Err(("username", reason));
    }
    let secret = Secret::new(password);
    Ok(if username == TOKEN_USERNAME {
        Credential::Refresh(secret)
    } else {
        Credential::Password {
            username: username.to_owned(),
            password: secret,
        }
    })
}
