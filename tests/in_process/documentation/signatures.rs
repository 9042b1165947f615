//! The code for receivers in `docs/signatures.md`, against what the engine signs.

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use ringback::domain::ids::EventId;
use ringback::domain::secret::Secret;
use ringback::domain::signing::SigningKey;
use tempfile::TempDir;
use test_support::requirements::missing_for;

use super::receiver_snippet;

const DOCUMENT: &str = include_str!("../../../docs/signatures.md");
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Not ASCII alone: a language that decodes the body finds out here.
const BODY: &str = r#"{"name": "Zoë", "n": 1e400}"#;
/// Set to 1 where a missing language must fail these tests.
const REQUIRED: &str = "RINGBACK_REQUIRE_LANGUAGES";

/// The one block of a language that defines `verify`.
fn snippet(language: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let blocks = DOCUMENT.split(fence.as_str()).skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.into_iter().find(|block| block.contains("verify(")).unwrap()
}

/// How the snippet of a language becomes a program that takes secret, id, timestamp, signatures and body as arguments, and
/// prints `accepted` or `refused`.
struct Language {
    name: &'static str,
    /// Must be there, or the language counts as missing.
    program: &'static str,
    /// The snippet goes into the first file, in front of its text.
    files: &'static [(&'static str, &'static str)],
    build: &'static [&'static str],
    run: &'static [&'static str],
}

const LANGUAGES: &[Language] = &[
    Language {
        name: "python",
        program: "python3",
        files: &[(
            "check.py",
            "
import sys
secret, id, timestamp, signatures, body = sys.argv[1:]
headers = {'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures}
try:
    verify(secret, headers, body.encode())
    print('accepted')
except ValueError:
    print('refused')
",
        )],
        build: &[],
        run: &["python3", "check.py"],
    },
    Language {
        name: "javascript",
        program: "node",
        files: &[(
            "check.js",
            "
const [secret, id, timestamp, signatures, body] = process.argv.slice(2);
const headers = { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures };
try {
  verify(secret, headers, Buffer.from(body));
  console.log('accepted');
} catch (error) {
  console.log('refused');
}
",
        )],
        build: &[],
        run: &["node", "check.js"],
    },
    Language {
        name: "php",
        program: "php",
        files: &[(
            "check.php",
            "
[, $secret, $id, $timestamp, $signatures, $body] = $argv;
$headers = ['webhook-id' => $id, 'webhook-timestamp' => $timestamp, 'webhook-signature' => $signatures];
try {
    verify($secret, $headers, $body);
    echo 'accepted';
} catch (RuntimeException $error) {
    echo 'refused';
}
",
        )],
        build: &[],
        run: &["php", "check.php"],
    },
    Language {
        name: "ruby",
        program: "ruby",
        files: &[(
            "check.rb",
            r#"
secret, id, timestamp, signatures, body = ARGV
headers = { "webhook-id" => id, "webhook-timestamp" => timestamp, "webhook-signature" => signatures }
begin
  verify(secret, headers, body)
  puts "accepted"
rescue ArgumentError
  puts "refused"
end
"#,
        )],
        build: &[],
        run: &["ruby", "check.rb"],
    },
    Language {
        name: "go",
        program: "go",
        files: &[
            ("verify.go", ""),
            (
                "main.go",
                r#"
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	header := http.Header{}
	header.Set("webhook-id", os.Args[2])
	header.Set("webhook-timestamp", os.Args[3])
	header.Set("webhook-signature", os.Args[4])
	if verify(os.Args[1], header, []byte(os.Args[5])) == nil {
		fmt.Println("accepted")
	} else {
		fmt.Println("refused")
	}
}
"#,
            ),
        ],
        build: &["go", "build", "-o", "check", "verify.go", "main.go"],
        run: &["./check"],
    },
    Language {
        name: "java",
        program: "javac",
        files: &[
            ("Webhooks.java", ""),
            (
                "Check.java",
                r#"
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Map;

class Check {
    public static void main(String[] args) {
        Map<String, String> headers =
            Map.of("webhook-id", args[1], "webhook-timestamp", args[2], "webhook-signature", args[3]);
        try {
            Webhooks.verify(args[0], headers, args[4].getBytes(StandardCharsets.UTF_8));
            System.out.println("accepted");
        } catch (GeneralSecurityException error) {
            System.out.println("refused");
        }
    }
}
"#,
            ),
        ],
        build: &["javac", "Webhooks.java", "Check.java"],
        run: &["java", "-Dsun.jnu.encoding=UTF-8", "-cp", ".", "Check"],
    },
];

fn run(folder: &Path, command: &[&str], arguments: &[&str]) -> String {
    let path = folder.join(command[0]);
    let program = if path.exists() { path.as_os_str() } else { command[0].as_ref() };
    let output = Command::new(program)
        .args(&command[1..])
        .args(arguments)
        .current_dir(folder)
        .env("LC_ALL", "C.UTF-8")
        .env("GOCACHE", folder.join("cache"))
        .env("GO111MODULE", "off")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn is_there(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// Signed by the engine's own code at this moment; the snippets read the machine's clock.
fn signed_now() -> (String, i64, String) {
    #[expect(clippy::disallowed_methods, reason = "the snippets compare with the machine's clock")]
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let id = EventId(7);
    let key = SigningKey::new(&Secret::new(SECRET.to_owned()));
    (id.to_string(), now, key.sign_standard(id, now, &Bytes::from_static(BODY.as_bytes())))
}

fn check(language: &Language) {
    if !is_there(language.program) {
        return missing_for(
            REQUIRED,
            &format!("{} (for the {} code in docs/signatures.md)", language.program, language.name),
        );
    }
    let folder = TempDir::new().unwrap();
    for (number, (file, text)) in language.files.iter().enumerate() {
        let text = if number == 0 { format!("{}\n{text}", snippet(language.name)) } else { (*text).to_owned() };
        fs::write(folder.path().join(file), text).unwrap();
    }
    if !language.build.is_empty() {
        run(folder.path(), language.build, &[]);
    }
    let (id, now, signature) = signed_now();
    let both = format!("v1,AAAA {signature}");
    let (now, old, future) = (now.to_string(), (now - 301).to_string(), (now + 900).to_string());
    let of_another = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (arguments, expected) in [
        ([SECRET, &id, &now, &both, BODY], "accepted"),
        ([SECRET, &id, &now, &signature, BODY], "accepted"),
        ([SECRET, &id, &now, &both, "{}"], "refused"),
        ([SECRET, "msg_other", &now, &both, BODY], "refused"),
        ([SECRET, &id, &old, &both, BODY], "refused"),
        ([SECRET, &id, &future, &both, BODY], "refused"),
        ([SECRET, &id, &now, "v1,AAAA", BODY], "refused"),
        ([of_another, &id, &now, &both, BODY], "refused"),
    ] {
        assert_eq!(run(folder.path(), language.run, &arguments), expected, "{}: {arguments:?}", language.name);
    }
}

#[test]
fn the_code_of_every_language_accepts_what_the_engine_signs_and_nothing_else() {
    for language in LANGUAGES {
        check(language);
    }
}

#[test]
fn the_rust_code_accepts_the_vector_of_standard_webhooks_and_nothing_else() {
    let shown = snippet("rust").replace("\nfn verify", "\npub(crate) fn verify");
    assert_eq!(shown.trim(), include_str!("receiver_snippet.rs").trim());
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    let (at, body) = (1_614_265_330, br#"{"test": 2432232314}"#);
    let given = "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let verify = receiver_snippet::verify;
    assert!(verify(SECRET, id, at, given, body, at + 300));
    assert!(!verify(SECRET, id, at, given, body, at + 301));
    assert!(!verify(SECRET, id, at, given, b"{}", at));
    assert!(!verify(SECRET, id, at, "v1,AAAA", body, at));
    assert!(!verify("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id, at, given, body, at));
}
