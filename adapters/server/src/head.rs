use std::fmt;

use http::request::Parts;
use http::{Extensions, HeaderMap, Uri};

/// The head of the request that opens or resumes a session, while admission decides about it.
///
/// It is borrowed: what a handler wants to keep, it copies.
pub struct RequestHead<'a> {
    parts: &'a Parts,
    parameters: &'a [(String, String)],
}

impl<'a> RequestHead<'a> {
    pub(crate) fn new(parts: &'a Parts, parameters: &'a [(String, String)]) -> Self {
        Self { parts, parameters }
    }

    /// The value of a parameter of the endpoint's path: `id` in `/rooms/{id}`.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The request's URI.
    pub fn uri(&self) -> &'a Uri {
        &self.parts.uri
    }

    /// The request's headers.
    pub fn headers(&self) -> &'a HeaderMap {
        &self.parts.headers
    }

    /// What middleware put into the request.
    pub fn extensions(&self) -> &'a Extensions {
        &self.parts.extensions
    }
}

impl fmt::Debug for RequestHead<'_> {
    /// Without headers, since those may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parts, parameters } = self;
        f.debug_struct("RequestHead")
            .field("method", &parts.method)
            .field("path", &parts.uri.path())
            .field("parameters", parameters)
            .finish_non_exhaustive()
    }
}

/// Tells who makes a request.
pub(crate) struct Principal(Box<Namer>);

type Namer = dyn Fn(&RequestHead<'_>) -> Option<String> + Send + Sync;

impl Principal {
    pub(crate) fn new(of: impl Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Box::new(of))
    }

    pub(crate) fn of(&self, head: &RequestHead<'_>) -> Option<String> {
        (self.0)(head)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Principal")
    }
}
