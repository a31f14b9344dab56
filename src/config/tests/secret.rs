//! No mistake repeats a secret that was written where none belongs.

use super::*;

#[test]
fn t35_no_mistake_repeats_a_login() {
    let table = "[upstream.\"reg.example\"]\n";
    let route = "[[route]]\nfrom = \"docker.io\"\n";
    for text in [
        "[upstream.\"https://me:canary@reg.example\"]",
        "[upstream.\"me:canary@reg.example\"]\nurl = \"https://reg.example\"",
        "[upstream.\"https://me:canary@reg.example\"]\nsend_nss = true",
        "[aliases]\n\"https://me:canary@reg.example/x\" = \"quay.io\"",
        "[hosts]\n\"me:canary@reg.example\" = \"quay.io\"",
        &format!("{table}url = \"https://me:canary@reg.example\""),
        &format!("{table}url = \"me:canary@reg.example\""),
        &format!("{table}url = [\"https://a.example\", \"https://me:can/ary@b.example\"]"),
        &format!("{table}proxy = \"http://me:canary@proxy.example:1\""),
        &format!("{table}proxy = \"me:canary@proxy.example\""),
        &format!("{table}proxy = http://me:canary@proxy.example"),
        &format!("{table}realms = [\"https://me:canary@auth.example/\"]"),
        &format!("{table}redirects = [\"me:canary@cdn.example\"]"),
        &format!("{table}username = \"me:canary\"\npassword_file = \"f\""),
        &format!("{table}username = \"me\"\npassword = \"canary\""),
        &format!("{table}token = \"canary\""),
        &format!("{route}to = [\"https://me:canary@reg.example/x\"]"),
        &format!("{route}to = [\"me:canary@reg.example/x\"]"),
        "[[credential]]\nfor = \"https://me:canary@reg.example\"\ntoken_file = \"f\"",
        "[[credential]]\nfor = \"me:canary@reg.example\"\ntoken_file = \"f\"",
        "[[credential]]\nfor = \"reg.example\"\nusername = \"me:canary\"\npassword_file = \"f\"",
    ] {
        let problems = load(text).expect_err(text);
        let said = format!("{problems} {}", problems.json_lines());
        for secret in ["canary", "can/ary"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}
