"""What ``tests.fuzz`` makes requests of: paths, parameters, headers and bodies, ordinary and odd."""

#: Percent-encoded or raw, as they stand in a URL.
ODD = [
    "", "0", "-1", "1", "+1", "1.5", "1e309", "NaN", "true", "None", "latest", "9" * 30, "1" * 5000,
    "-" * 200, "%00", "a%00b", "%ED%A0%80", "%FF%FE", "%C3%28", "%F0%9F%92%A9", "%E2%80%AE", "%25",
    "%25_", "%", "%zz", "%0D%0AX-Forged:%201", "%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "..", "../..",
    "%2e%2e%2f", "a/b", "a;b", "a:b", "{0.__class__}", "{path:%3E999999}", "%25s%25n", "(a+)+$", "*",
    "'", "%27%20OR%201=1--", "%5C", "x" * 3000, "%20", "+" * 300, "x+" * 900, "1,2,3", "-host.-cell",
    "%E3%81%82" * 100, "2026-02-30", "0000", "99999999999", "__class__", "id__regex", "١٢٣", "%D9%A1",
    "0x10", "1_000", "  7 ", "\t", "http://[::1", "//evil.example", "javascript:alert(1)",
]  # fmt: skip
API_PATHS = [
    "", "/", "/os-services", "/os-services/{}", "/os-services/enable", "/os-services/disable",
    "/os-services/disable-log-reason", "/os-services/force-down", "/os-hypervisors", "/nothing",
    "/os-hypervisors/detail", "/os-hypervisors/statistics", "/os-hypervisors/{}", "/{}/os-services",
    "/os-hypervisors/{}/search", "/os-hypervisors/{}/servers", "/os-hypervisors/{}/uptime",
    "/{}/os-hypervisors/detail", "/{}", "//os-services", "/os-services/", "/" + "a/" * 1500,
]  # fmt: skip
LISTS = ["services/service", "hypervisors/computenode"]
STOCK = ["maintenance/maintenance", "audit/entry", "auth/user", "auth/group", "portal/apitoken"]
PAGES = [
    "", "login/", "password_change/", "jsi18n/", "autocomplete/", "overview/", "problems/",
    "cells/cellmapping/", "maintenance/start/", "maintenance/calendar/",
    "maintenance/{}/stop/", "maintenance/{}/return/", "maintenance/maintenance/{}/part/", "r/{}/{}/", "auth/", "portal/", "{}/", "{}", "services/service/act/",
    "services/service/results/", "audit/entry/export.csv", "auth/user/{}/password/",
    *(f"{name}/{rest}" for name in LISTS
      for rest in ("", "export.csv", "views/", "views/{}/delete/", "views/{}/share/", "columns/",
                   "step/", "{}/")),
    "services/service/backfill/",
    *(f"{name}/{rest}" for name in STOCK
      for rest in ("", "add/", "{}/", "{}/change/", "{}/delete/", "{}/history/")),
]  # fmt: skip
OTHERS = ["/", "/healthz", "/metrics", "/static/console/console.css", "/static/{}", "/{}", "/v3/{}"]
PARAMETERS = [
    "q", "o", "p", "e", "all", "per_page", "columns", "cell", "host", "binary", "topic", "state",
    "status", "zone", "problem", "type", "next", "of", "key", "action", "back", "limit", "marker",
    "with_servers", "hypervisor_hostname_pattern", "microversion", "term", "app_label", "model_name",
    "field_name", "_to_field", "_popup", "_facets", "at__year", "at__month", "at__day", "outcome",
    "action__exact", "outcome__isnull", "groups__id__exact", "is_staff__exact", "username__regex",
    "password__startswith", "_changelist_filters", "at", "by", "format", "user__password", "x" * 500,
]  # fmt: skip
FIELDS = [
    "key", "action", "confirm", "reason", "back", "name", "query", "username", "password", "next",
    "post", "_selected_action", "index", "select_across", "user", "project_id", "expires_at", "id",
    "expires_at_0", "read_only", "password1", "password2", "usable_password", "groups", "is_active",
    "permissions", "_save", "_continue", "_popup", "_to_field", "is_superuser", "user_permissions",
]  # fmt: skip
ACTIONS = ["disable", "enable", "force-down", "force-up", "delete", "delete_selected", "nothing"]
METHODS = ["GET"] * 12 + ["POST"] * 8 + ["PUT"] * 5 + ["DELETE"] * 3 + [
    "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "BREW", "get", "M-SEARCH", "A" * 30,
]  # fmt: skip
ACCEPTS = [
    b"application/json", b"*/*", b"", b"text/html", b"text/html;q=x", b"text/html,*/*;q=0.8", b";;;",
    b"application/json;version=2.1;q=1e309", b"a" * 2000, b"/", b"*", b",", b"text/csv", b"\xff/\xfe",
    b"application/vnd.openstack.compute+json", b"text/html; charset=zlib", b"image/png, */json",
    b"application/xml;q=-1, text/html;level=1;q=0.4", b", ".join([b"a/b"] * 200),
]  # fmt: skip
VERSIONS = [
    b"compute 2.1", b"compute 2.53", b"compute 2.88", b"compute latest", b"compute 2.999", b"2.1", b"",
    b"compute", b"compute 2.01", b"compute 2." + b"9" * 4000, b"compute -1.0", b"identity 3", b"\xff",
    b"compute 2.53, compute 2.1", b"compute \xd9\xa1.1", b"compute 2.53\t", b"compute 9e9.1",
]  # fmt: skip
TYPES = [
    b"application/json", b"", b"text/plain", b"application/x-www-form-urlencoded", b"text/html", b"/",
    b"multipart/form-data; boundary=x", b"multipart/form-data", b"application/json; charset=zlib",
    b"application/x-www-form-urlencoded; charset=utf-16", b"multipart/form-data; boundary=" + b"y" * 500,
    b"multipart/form-data; boundary=\xff", b"application/json;;;=", b"multipart/mixed; boundary=x",
    b"multipart/form-data; boundary=x; charset=unicode_escape", b"APPLICATION/JSON", b"\xff",
]  # fmt: skip
HEADERS = [
    (b"X-Forwarded-For", b"1.2.3.4"), (b"X-Forwarded-For", b"\xff,,[::"), (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"evil.example"), (b"Forwarded", b"for=_x;proto=gopher"), (b"Via", b"\xff"),
    (b"Host", b"evil.example"), (b"Host", b""), (b"Host", b"127.0.0.1:99999999"), (b"Host", b"[::1"),
    (b"Accept-Language", b"de"), (b"Accept-Language", b"\xff;q=x," * 200), (b"Accept-Encoding", b"gzip;q=x"),
    (b"If-Modified-Since", b"Thu, 99 Foo 99999 99:99:99 GMT"), (b"If-None-Match", b'"\xff'),
    (b"Range", b"bytes=9999999999999999999999-"), (b"Range", b"bytes=-"), (b"Expect", b"100-continue"),
    (b"Cookie", b"sessionid=\xff\xfe; csrftoken="), (b"Cookie", b"=" * 3000), (b"Cookie", b"messages=W1siX19qc29u"),
    (b"Authorization", b"Basic"), (b"Authorization", b"Basic !!!"), (b"Authorization", b"Basic /////w=="),
    (b"Authorization", b"Basic YQ=="), (b"Authorization", b"Basic YTpi YTpi"), (b"Authorization", b"Bearer x"),
    (b"Authorization", b"Basic AGE6Yg=="), (b"Authorization", b"Basic " + b"QUFB" * 1800),
    (b"X-Auth-Token", b"wrong"), (b"X-Auth-Token", b"\xff\xfe"), (b"X-Auth-Token", b"x" * 7000),
    (b"X-HTTP-Method-Override", b"DELETE"), (b"Content-Encoding", b"gzip"), (b"Upgrade", b"h2c"),
    (b"Referer", b"http://[::1/\xff"), (b"Origin", b"null"), (b"Origin", b"http://evil.example"),
    (b"X-Requested-With", b"XMLHttpRequest"), (b"User-Agent", b"\xf0\x9f\x92\xa9" * 100), (b"User-Agent", b"x" * 6000),
    (b"SCRIPT_NAME", b"/x"), (b"Script-Name", b"/x"), (b"Remote-User", b"admin"), (b"Max-Forwards", b"0"),
    (b"X-OpenStack-Nova-API-Version", b"2.x"), (b"X-OpenStack-Request-ID", b"\xff"), (b"Te", b"trailers"),
    (b"X-Service-Token", b"x"), (b"Date", b"never"), (b"Connection", b"Upgrade, close"),
]  # fmt: skip
JSONS: list[bytes] = [
    b"", b"{}", b"[]", b"null", b"1", b'"x"', b"{", b"\xff\xfe", b"[" * 50_000, b'{"a":' * 20_000, b"NaN",
    b'{"host":"a","binary":"nova-compute","disabled_reason":"\\ud800"}', b'{"status":"disabled","x":1}',
    b'{"host":"\\u0000","binary":"nova-compute"}', b'{"forced_down":1e400}', b'{"status":{"a":[1]}}',
    b'{"host":"a","host":["b"],"binary":null}', b"1" * 6000, b'{"status":"' + b"x" * 120_000 + b'"}',
    b'{"disabled_reason":"' + b"\xf0\x9f\x92\xa9" * 300 + b'","status":"disabled"}', b'{"\\ud800":1}',
    b'{"host":"%s","binary":"nova-compute","forced_down":"maybe"}', b"\xef\xbb\xbf{}", b'{"a":Infinity}',
]  # fmt: skip
