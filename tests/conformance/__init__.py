"""RFC 6455 conformance: Autobahn's cases, run by the package kosoku."""
