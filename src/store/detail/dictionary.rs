//! Texts that are stored as one byte. **Only ever append**: stored bytes are indexes into these lists. Other
//! texts are stored verbatim, so a text that is missing here costs its length and nothing more.

/// The prefix of the contract's headers until another one is stored.
pub(super) const USUAL_PREFIX: &str = "x-callintel";

/// What follows the prefix in their names; a longer one before the one it ends with.
pub(super) const SUFFIXES: [&str; 4] = ["-signature", "-signature-previous", "-delivery", "-attempt"];

/// The beginning of our own user agent.
pub(super) const USER_AGENT: &str = "Ringback/";

/// Names of headers; at most 224.
pub(super) const NAMES: &[&str] = &[
    "content-type",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "content-length",
    "date",
    "connection",
    "server",
    "transfer-encoding",
    "keep-alive",
    "cache-control",
    "vary",
    "etag",
    "set-cookie",
    "strict-transport-security",
    "x-request-id",
    "x-content-type-options",
    "x-frame-options",
    "x-xss-protection",
    "x-powered-by",
    "x-runtime",
    "referrer-policy",
    "content-security-policy",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-allow-credentials",
    "access-control-expose-headers",
    "alt-svc",
    "via",
    "age",
    "expires",
    "pragma",
    "last-modified",
    "accept-ranges",
    "location",
    "retry-after",
    "allow",
    "content-encoding",
    "content-language",
    "www-authenticate",
    "x-cache",
    "x-served-by",
    "x-timer",
    "x-amzn-requestid",
    "x-amzn-trace-id",
    "x-amz-apigw-id",
    "x-amz-cf-id",
    "x-amz-cf-pop",
    "cf-ray",
    "cf-cache-status",
    "nel",
    "report-to",
    "server-timing",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-envoy-upstream-service-time",
    "x-cloud-trace-context",
    "x-vercel-id",
    "x-vercel-cache",
    "x-correlation-id",
    "x-trace-id",
    "traceparent",
    "authorization",
    "x-api-key",
    "Authorization",
    "X-Api-Key",
    "svix-id",
    "svix-timestamp",
    "svix-signature",
];

/// Values of headers; at most 224.
pub(super) const VALUES: &[&str] = &[
    "application/json",
    "********",
    "",
    "close",
    "keep-alive",
    "chunked",
    "text/plain",
    "text/plain; charset=utf-8",
    "text/html",
    "text/html; charset=utf-8",
    "application/json; charset=utf-8",
    "application/json;charset=utf-8",
    "application/problem+json",
    "nginx",
    "cloudflare",
    "Apache",
    "envoy",
    "Google Frontend",
    "Vercel",
    "AmazonS3",
    "gunicorn",
    "uvicorn",
    "Express",
    "Kestrel",
    "no-cache",
    "no-store",
    "no-cache, no-store, must-revalidate",
    "no-cache, no-store, max-age=0, must-revalidate",
    "max-age=0, private, must-revalidate",
    "private",
    "nosniff",
    "DENY",
    "SAMEORIGIN",
    "1; mode=block",
    "*",
    "true",
    "Origin",
    "Accept-Encoding",
    "accept-encoding",
    "timeout=5",
    "strict-origin-when-cross-origin",
    "max-age=31536000; includeSubDomains",
    "DYNAMIC",
    "bytes",
    "none",
];

/// The index of a text in a list, at compile time; a missing text fails the build.
pub(super) const fn place(words: &[&str], text: &str) -> u8 {
    let mut place = 0;
    while !is_same(words[place].as_bytes(), text.as_bytes()) {
        place += 1;
    }
    place as u8
}

/// `==` can't be used in a `const fn`.
const fn is_same(left: &[u8], right: &[u8]) -> bool {
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at == left.len() && at == right.len()
}
