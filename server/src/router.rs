//! The one table of routes, and the order of middleware.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef, State},
    http::{HeaderName, Method, StatusCode, header},
    middleware::from_fn,
    response::IntoResponse,
    routing::get,
};
use prometheus_client::registry::Registry;
use tower_http::{compression::CompressionLayer, cors::CorsLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::{Config as UiConfig, SwaggerUi};

use crate::{
    api,
    app::App,
    auth::Tokens,
    config::HttpConfig,
    error,
    health::{self, Health},
    middleware::{self, HttpMetrics},
    publish::Hub,
    scheduler::Scheduler,
    store::Store,
    telemetry::Telemetry,
};

/// The largest body of a request that is not read in a stream.
const LARGEST_BODY: usize = 4 * 1024 * 1024;
/// The largest body that is read in a stream: 100,000 units and their line ends.
const LARGEST_STREAMED_BODY: usize = 32 * 1024 * 1024;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a body that is read in a stream may take.
const STREAMED_PATIENCE: Duration = Duration::from_secs(600);

/// Everything that handlers are given, as cheap handles; a handler's signature lists what it uses.
pub struct Parts {
    /// The use cases.
    pub app: App,
    /// The database, for lists that are not in memory yet.
    pub store: Store,
    /// Who is calling.
    pub tokens: Tokens,
    /// What SDKs are served.
    pub hub: Hub,
    /// Carries releases out.
    pub scheduler: Scheduler,
    /// What SDKs report.
    pub telemetry: Telemetry,
    /// How the node is.
    pub health: Health,
    /// Requests that were answered.
    pub http: HttpMetrics,
    /// All metrics.
    pub registry: Arc<Registry>,
}

/// All of it behind one pointer, since every request clones it.
#[derive(Clone)]
pub struct AppState(pub Arc<Parts>);

macro_rules! parts {
    ($($field:ident: $part:ty),+ $(,)?) => { $(
        impl FromRef<AppState> for $part {
            fn from_ref(state: &AppState) -> Self {
                state.0.$field.clone()
            }
        }
    )+ };
}
parts!(app: App, store: Store, tokens: Tokens, hub: Hub, scheduler: Scheduler, telemetry: Telemetry, health: Health, http: HttpMetrics, registry: Arc<Registry>);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Storyflag",
        description = "Releases user stories behind feature flags. Percentages are in percent with at most four decimals; times are RFC 3339. \
            Errors are RFC 9457 problems. What a GET tells may be PUT back; `?dry_run=true` on any write changes nothing and tells what it would do.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(error::Problem, error::ProblemFault)),
    modifiers(&Security),
    security(("token" = [])),
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = |description: &str| {
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build())
        };
        components.add_security_scheme("token", bearer("A person's token: `storyflag token --role ...`"));
        components.add_security_scheme("sdk_key", bearer("An application's SDK key: `storyflag keys create ...`"));
    }
}

/// What people call.
fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(api::projects::list_projects))
        .routes(routes!(api::projects::find_project, api::projects::put_project))
        .routes(routes!(api::flags::list_flags))
        .routes(routes!(api::flags::find_flag, api::flags::put_flag, api::flags::patch_flag, api::flags::archive_flag))
        .routes(routes!(api::plans::list_plans))
        .routes(routes!(api::plans::find_plan, api::plans::put_plan, api::plans::delete_plan))
        .routes(routes!(api::rehearsals::predict_plan))
        .routes(routes!(api::rehearsals::rehearse_plan))
        .routes(routes!(api::environments::list_environments))
        .routes(routes!(api::environments::find_environment, api::environments::put_environment))
        .routes(routes!(api::incarnation::raise_incarnation))
        .routes(routes!(api::targetings::list_targetings))
        .routes(routes!(api::targetings::find_targeting, api::targetings::put_targeting))
        .routes(routes!(api::rollout::bump_rollout, api::rollout::put_rollout))
        .routes(routes!(api::kill::kill_flag))
        .routes(routes!(api::kill::revive_flag))
        .routes(routes!(api::history::list_history))
        .routes(routes!(api::history::revert_targeting))
        .routes(routes!(api::explain::explain_unit, api::explain::explain_context))
        .routes(routes!(api::explain::explain_all))
        .routes(routes!(api::cohorts::list_cohorts))
        .routes(routes!(api::cohorts::find_cohort, api::cohorts::put_cohort, api::cohorts::delete_cohort))
        .routes(routes!(api::releases::list_releases, api::releases::create_release))
        .routes(routes!(api::releases::find_release))
        .routes(routes!(api::releases::commands::start_release))
        .routes(routes!(api::releases::commands::pause_release))
        .routes(routes!(api::releases::commands::resume_release))
        .routes(routes!(api::releases::commands::approve_release))
        .routes(routes!(api::releases::commands::advance_release))
        .routes(routes!(api::releases::commands::rollback_release))
        .routes(routes!(api::releases::commands::cancel_release))
        .routes(routes!(api::releases::commands::tick_item))
        .routes(routes!(api::releases::timeline::release_timeline))
        .routes(routes!(api::releases::report::release_report))
        .routes(routes!(api::instances::list_instances))
        .routes(routes!(api::instances::list_usage))
        .routes(routes!(api::keys::list_keys, api::keys::create_key))
        .routes(routes!(api::keys::revoke_key))
        .routes(routes!(api::channels::list_channels))
        .routes(routes!(api::channels::find_channel, api::channels::put_channel, api::channels::delete_channel))
        .routes(routes!(api::channels::test_channel))
        .routes(routes!(api::freezes::list_freezes, api::freezes::create_freeze))
        .routes(routes!(api::freezes::delete_freeze))
        .routes(routes!(api::changes::list_changes))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, PATIENCE))
        .layer(RequestBodyLimitLayer::new(LARGEST_BODY))
}

/// What people call with a body that is read as it arrives.
fn streamed() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(api::members::list_members, api::members::put_members, api::members::patch_members))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, STREAMED_PATIENCE))
        .layer(RequestBodyLimitLayer::new(LARGEST_STREAMED_BODY))
}

/// What SDKs read, thousands at once: answered from memory, so there is nothing to wait for, and compressed already where
/// that is worth it.
fn sdk() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(api::stream::stream_ruleset))
        .routes(routes!(api::ruleset::get_ruleset))
        .routes(routes!(api::lists::get_list))
}

/// What people follow: answers without an end, so without a time limit.
fn followed() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(api::releases::events::release_events))
}

/// What SDKs report.
fn reports() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(api::telemetry::post_telemetry))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, PATIENCE))
}

/// What operators and their programs call.
fn operation() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(health::health)).routes(routes!(health::live)).routes(routes!(health::ready))
}

/// Every route that the document tells of, first those with bodies to limit and to compress, then those without.
fn documented() -> (OpenApiRouter<AppState>, OpenApiRouter<AppState>) {
    let mut document = Document::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let people = OpenApiRouter::with_openapi(document).merge(api()).merge(streamed()).merge(followed()).merge(reports()).merge(operation());
    (people, sdk())
}

/// The OpenAPI document, as it is committed and served.
pub fn openapi() -> String {
    let (people, sdk) = documented();
    let (_, document) = people.merge(sdk).split_for_parts();
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Every route, within every middleware: the first layer here is the innermost.
pub fn router(state: AppState, config: &HttpConfig) -> Router {
    let text: Arc<str> = openapi().into();
    let json = move || std::future::ready(([(header::CONTENT_TYPE, "application/json")], text.to_string()));
    let page = SwaggerUi::new("/docs").config(UiConfig::from("/openapi.json"));
    let (people, sdk) = documented();
    let people = Router::from(people)
        // Not in the document: the document itself, its page, and what Prometheus reads.
        .route("/openapi.json", get(json))
        .route("/", get(|| std::future::ready(nothing_here())))
        .route("/metrics", get(metrics))
        .merge(page)
        .fallback(|| std::future::ready(StatusCode::NOT_FOUND))
        .layer(DefaultBodyLimit::disable())
        .layer(CompressionLayer::new())
        .layer(cors(config))
        .layer(from_fn(middleware::read_away));
    people.merge(Router::from(sdk)).layer(axum::middleware::from_fn_with_state(state.0.http.clone(), middleware::observe)).with_state(state)
}

/// Whoever opens the address in a browser wants to know where to go.
fn nothing_here() -> error::Error {
    error::Error::NotFound(
        "this is Storyflag, and there is nothing at /: the API has its page at /docs and its document at /openapi.json".to_owned(),
    )
}

fn cors(config: &HttpConfig) -> CorsLayer {
    let origins: Vec<_> = config.cors_origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH, header::IF_NONE_MATCH])
        .expose_headers([header::ETAG, header::RETRY_AFTER, HeaderName::from_static("x-request-id")])
}

async fn metrics(State(registry): State<Arc<Registry>>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response(),
        Err(cause) => error::Error::internal(cause).into_response(),
    }
}
