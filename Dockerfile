# syntax=docker/dockerfile:1
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --package storyflag-server && cp target/release/storyflag /storyflag

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home storyflag
COPY --from=build /storyflag /usr/local/bin/storyflag
USER storyflag
# The default database is one file in the working directory: mount a volume here, or name a Postgres.
WORKDIR /data
VOLUME /data
ENV STORYFLAG_LISTEN=0.0.0.0:8080 STORYFLAG_LOG_FORMAT=json
EXPOSE 8080
# serve drains its streams on SIGTERM.
STOPSIGNAL SIGTERM
ENTRYPOINT ["storyflag"]
CMD ["serve"]
