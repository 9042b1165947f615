use super::*;

fn text(value: &str) -> SettingValue {
    SettingValue::Text(value.to_owned())
}

fn of_file(content: &[u8]) -> Result<Logo, String> {
    let folder = tempfile::tempdir().unwrap();
    // the name says nothing
    let path = folder.path().join("logo.gif");
    std::fs::write(&path, content).unwrap();
    logo(&text(&path.display().to_string()))
}

#[test]
fn a_logo_is_what_its_content_says() {
    let svg = r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>"#;
    for (content, expected) in [
        (&b"\x89PNG\r\n\x1a\nrest"[..], "image/png"),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (svg.as_bytes(), "image/svg+xml"),
        (format!("\u{feff}<?xml version=\"1.0\"?>\n<!-- made by hand -->\n{svg}").as_bytes(), "image/svg+xml"),
        (
            format!("<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd\">{svg}")
                .as_bytes(),
            "image/svg+xml",
        ),
    ] {
        let logo = of_file(content).unwrap();
        assert_eq!((logo.content_type, &logo.bytes[..]), (expected, content));
    }
}

#[test]
fn a_file_that_is_no_logo_is_refused_with_what_to_do() {
    let large = [&b"\x89PNG\r\n\x1a\n"[..], &vec![0; 256 * 1024]].concat();
    for (content, why) in [
        (&b""[..], "is empty; save the logo as"),
        (b"GIF89a", "is none of the kinds that can be shown; save the logo as SVG (in UTF-8), PNG, JPEG or WebP"),
        (b"\xfe\xff\0<", "is none of the kinds"),
        (b"<html/>", "is XML, but no SVG"),
        (b"<svg/>", "is an SVG without xmlns="),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "is no SVG that browsers show: "),
        (&large, "has more than 256 KiB; every page loads it: make it smaller"),
    ] {
        let refusal = of_file(content).unwrap_err();
        assert!(refusal.contains(why), "{refusal}");
    }
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().display().to_string(), format!("{}/none.svg", folder.path().display())] {
        assert_eq!(logo(&text(&path)), Err(format!("there is no file `{path}`")));
    }
}

#[test]
fn an_accent_colour_is_six_hexadecimal_digits() {
    assert_eq!(accent_color(&text("#0A7c5a")), Ok(AccentColor([0x0a, 0x7c, 0x5a])));
    assert_eq!(AccentColor([0x0a, 0x7c, 0x5a]).to_string(), "#0a7c5a");
    for wrong in ["", "0a7c5a", "#0a7c5", "#0a7c5a0", "#0a7c5g", "#+a7c5a", "#ä7c5", "red", "#0a7c5a;}"] {
        assert!(accent_color(&text(wrong)).is_err(), "{wrong:?}");
    }
}

#[test]
fn frames_are_allowed_to_origins_alone() {
    let list =
        |items: &[&str]| frame_ancestors(&SettingValue::List(items.iter().map(|item| text(item)).collect()));
    assert_eq!(
        list(&[
            "https://App.example.com/",
            "https://app.example.com:443",
            "https://app.example.com:8443",
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://bücher.example",
        ])
        .unwrap(),
        [
            "https://app.example.com",
            "https://app.example.com:8443",
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://xn--bcher-kva.example"
        ]
    );
    for (wrong, why) in [
        ("https://*.example.com", "whoever can put a page on any host that fits could frame"),
        ("*", "without `*`"),
        ("http://app.example.com", "anyone on the way can change"),
        ("https://app.example.com/path", "without a path"),
        ("https://app.example.com?x", "without a path"),
        ("https://me@app.example.com", "expects origins like"),
        ("https://[::1]", "expects origins like"),
        ("https://a;b", "expects origins like"),
        ("https://a,b", "expects origins like"),
        ("https:", "expects origins like"),
        ("app.example.com", "expects origins like"),
        ("'self'", "expects origins like"),
        ("data:", "expects origins like"),
    ] {
        let refusal = list(&[wrong]).unwrap_err();
        assert!(refusal.contains(why), "{wrong}: {refusal}");
    }
    let many: Vec<String> = (0..51).map(|number| format!("https://a{number}.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(list(&many).unwrap_err().contains("at most 50"));
    assert_eq!(
        frame_ancestors(&SettingValue::Untyped("https://a.example, https://b.example".to_owned())).unwrap().len(),
        2
    );
}
