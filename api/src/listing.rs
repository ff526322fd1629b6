//! Pages of lists: 20 by default, with `meta` that says where one is and how to go on.

use axum::extract::FromRequestParts;
use chrono::{DateTime, Utc};
use http::{Uri, request::Parts};
use rollcall_service::http::{Problem, Query, Success, always_true};
use rollcall_store::pages::Page;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;
/// The document says that a page is a 32-bit number, which has a sign for many a client.
const MAX_PAGE: u32 = i32::MAX.unsigned_abs();

/// Which page is wanted.
#[derive(Clone, Copy, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// The page, from 1.
    #[param(minimum = 1, default = 1)]
    page: Option<u32>,
    /// How many items a page has.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
}

/// Where a page is among the others.
#[derive(Serialize, ToSchema)]
pub(crate) struct PageMeta {
    /// How many items there are in all.
    total: i64,
    /// This page, from 1.
    page: u32,
    /// How many items a page has.
    limit: u32,
    /// How many pages there are.
    pages: u32,
    links: PageLinks,
}

/// The pages around one, with the same filter.
#[derive(Serialize, ToSchema)]
pub(crate) struct PageLinks {
    #[serde(rename = "self")]
    this: String,
    first: String,
    /// Null on the first page.
    #[schema(required)]
    prev: Option<String>,
    /// Null on the last page.
    #[schema(required)]
    next: Option<String>,
    last: String,
}

/// The envelope of a page, as clients see it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Success` is rendered to")]
pub(crate) struct PageEnvelope<T> {
    /// Always true.
    #[schema(schema_with = always_true)]
    success: bool,
    /// What was done: `OK`.
    code: String,
    /// The items.
    data: T,
    /// Where the page is among the others.
    meta: PageMeta,
    /// When it was answered.
    timestamp: DateTime<Utc>,
}

/// A list without filters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoFilter {}

/// Which page of which list is wanted: `page` and `limit`, and whatever `F` reads from the rest of the query.
pub(crate) struct Listing<F = NoFilter> {
    pub(crate) filter: F,
    page: u32,
    limit: u32,
    path: String,
    /// The query without `page` and `limit`.
    rest: Vec<(String, String)>,
}

impl<F: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Listing<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await?;
        let (paging, rest): (Vec<_>, Vec<_>) =
            pairs.into_iter().partition(|(name, _)| matches!(name.as_str(), "page" | "limit"));
        let params: PageParams = read(&paging, state).await?;
        let (page, limit) = (params.page.unwrap_or(1), params.limit.unwrap_or(DEFAULT_LIMIT));
        if !(1..=MAX_PAGE).contains(&page) {
            return Err(Problem::validation([("page", format!("must be 1 to {MAX_PAGE}"))]));
        }
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::validation([("limit", format!("must be 1 to {MAX_LIMIT}"))]));
        }
        Ok(Self { filter: read(&rest, state).await?, page, limit, path: parts.uri.path().to_owned(), rest })
    }
}

/// Reads part of a query as the [`Query`] extractor reads all of it.
async fn read<T: DeserializeOwned, S: Send + Sync>(
    pairs: &[(String, String)],
    state: &S,
) -> Result<T, Problem> {
    let uri: Uri = format!("/?{}", encode(pairs)).parse().map_err(Problem::internal)?;
    let (mut parts, ()) = http::Request::get(uri).body(()).map_err(Problem::internal)?.into_parts();
    Ok(Query::from_request_parts(&mut parts, state).await?.0)
}

fn encode(pairs: &[(String, String)]) -> String {
    serde_html_form::to_string(pairs).expect("pairs of text can be written as a query")
}

impl<F> Listing<F> {
    pub(crate) fn page(&self) -> Page {
        Page { limit: self.limit.into(), offset: i64::from(self.page - 1) * i64::from(self.limit) }
    }

    /// The page, with what is said about it.
    pub(crate) fn answer<T: Serialize>(&self, data: T, total: i64) -> Success<T> {
        Success::ok(data).with_meta(json!(self.meta(total)))
    }

    fn meta(&self, total: i64) -> PageMeta {
        let pages = u32::try_from(total.max(0)).unwrap_or(u32::MAX).div_ceil(self.limit);
        let link = |page: u32| (1..=pages.max(1)).contains(&page).then(|| self.link(page));
        PageMeta {
            total,
            page: self.page,
            limit: self.limit,
            pages,
            links: PageLinks {
                this: self.link(self.page),
                first: self.link(1),
                prev: link(self.page - 1),
                next: link(self.page.saturating_add(1)),
                last: self.link(pages.max(1)),
            },
        }
    }

    fn link(&self, page: u32) -> String {
        let mut pairs = self.rest.clone();
        pairs.extend([("page".to_owned(), page.to_string()), ("limit".to_owned(), self.limit.to_string())]);
        format!("{}?{}", self.path, encode(&pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_schemas::code::Code;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ByRole {
        role: Option<String>,
    }

    async fn listing<F: DeserializeOwned>(uri: &str) -> Result<Listing<F>, Problem> {
        let (mut parts, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
        Listing::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn links_keep_the_filter() {
        let listing: Listing<ByRole> = listing("/users?role=a%26b&page=2&limit=10").await.unwrap();
        assert_eq!(listing.filter.role.as_deref(), Some("a&b"));
        assert_eq!(listing.page(), Page { limit: 10, offset: 10 });
        insta::assert_json_snapshot!(listing.meta(35));
    }

    #[tokio::test]
    async fn the_ends_have_no_neighbours() {
        let only: Listing = listing("/users").await.unwrap();
        let meta = only.meta(0);
        assert_eq!((&meta.links.prev, &meta.links.next), (&None, &None));
        assert_eq!(meta.limit, 20);
        let beyond: Listing = listing("/users?page=9").await.unwrap();
        assert_eq!(beyond.meta(30).links.next, None);
    }

    #[tokio::test]
    async fn what_is_no_page_is_refused_by_name() {
        for (uri, field) in [
            ("/u?page=0", "page"),
            ("/u?page=2147483648", "page"),
            ("/u?limit=101", "limit"),
            ("/u?limit=0", "limit"),
            ("/u?page=x", "page"),
            ("/u?role=a", "role"),
        ] {
            let problem = listing::<NoFilter>(uri).await.err().unwrap();
            assert_eq!(problem.code, Code::ValidationFailed, "{uri}");
            assert!(problem.details.to_string().contains(field), "{uri}: {}", problem.details);
        }
    }
}
