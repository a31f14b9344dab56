# The mirror as an image: one program, one volume, without root.
FROM docker.io/library/rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin roadstead \
 && install -D --mode=0755 target/release/roadstead /out/usr/local/bin/roadstead \
 && install --directory --owner=65532 --group=65532 /out/var/lib/roadstead

FROM docker.io/library/debian:bookworm-slim
COPY --from=build /out/ /
USER 65532:65532
VOLUME /var/lib/roadstead
# 5000 is the mirror, 5001 the probes and metrics.
EXPOSE 5000 5001
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/roadstead"]
CMD ["serve", "--listen", "0.0.0.0:5000", "--store", "/var/lib/roadstead"]
