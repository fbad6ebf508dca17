"""What every test can have.

The databases are real and so are the threads that ask them, so no test runs within a transaction
that is rolled back: tables are emptied before each test instead.  A test that takes ``cloud``
(or ``api`` or ``fleet``) runs once on every engine; one that takes only ``db`` (or pytest-django's
``client``, ``admin_client``, ``live_server``) has the portal's own database, on SQLite.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pytest_django import DjangoDbBlocker, Settings

from cells.executors import close_executors
from cells.registry import Cell
from cloud.clients import forget_clients
from cloud.config import load
from hypervisors.demo.fleet import Fleet
from hypervisors.placement_facts import forget_facts
from hypervisors.report import latest_report
from portal.models import ApiToken
from tests.clients import ApiClient
from tests.cloud_servers import Placement
from tests.clouds import Cloud, fill_with, fresh_cloud
from tests.counting import Queries, counting, settle, watch_connections
from tests.engines import ENGINES, Engine, EngineMissing, SQLite, empty, forget_connections
from tests.servers import SHORT_DEADLINE, PortalServer, SilentServer, free_port, serve

# A busy machine makes nothing wrong.
hypothesis_settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("suite")

# --- databases ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def django_db_setup() -> None:
    """In place of pytest-django's: the databases are made by ``databases``."""


@pytest.fixture(scope="session", autouse=True)
def _sqlite(django_test_environment: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Engine]:
    """The databases on SQLite, for the whole session."""
    with django_db_blocker.unblock():
        watch_connections()
        engine = SQLite()
        engine.create()
        engine.activate()
        yield engine
        forget_connections()
        engine.drop()


@pytest.fixture(scope="session", params=ENGINES)
def databases(request: pytest.FixtureRequest, _sqlite: Engine) -> Iterator[Engine]:
    """The databases of one engine after the other; tests of one engine run together."""
    if request.param == _sqlite.name:
        yield _sqlite
        return
    engine = ENGINES[request.param]()
    try:
        engine.create()
    except EngineMissing as error:
        pytest.skip(str(error))
    engine.activate()
    yield engine
    forget_connections()
    engine.drop()
    _sqlite.activate()


@pytest.fixture
def engine(databases: Engine) -> str:
    """``sqlite``, ``postgresql`` or ``mysql``: runs the test on each."""
    return databases.name


@pytest.fixture
def db(request: pytest.FixtureRequest, _sqlite: Engine) -> None:
    """The portal's own database, emptied: no users, no tokens.  In place of pytest-django's."""
    if "databases" not in request.fixturenames:
        _sqlite.activate()
    empty("default")


@pytest.fixture
def transactional_db(db: None) -> None:
    """The same; here every test is transactional."""


@pytest.fixture
def cloud(databases: Engine, db: None) -> Iterator[Cloud]:
    """An empty cloud: cell0 to cell3 without a row, to be filled by its methods."""
    latest_report.clear()
    yield fresh_cloud(databases)
    latest_report.clear()  # a check that still goes on would ask the cells of the next test
    settle()
    close_executors()


@pytest.fixture
def fleet(cloud: Cloud) -> Fleet:
    """The cloud filled with a small demo fleet: cell0 and three cells of six ordinary hosts, the
    odd corners, and no uuid on the services of cell3.

    Iterating over it gives the rows of each cell (``.services``, ``.nodes``, ``.named`` ...).
    """
    fleet = Fleet(cells=3, hosts_per_cell=6, instances_per_host=2, uuidless_cell=3)
    fill_with(fleet)
    return fleet


@pytest.fixture
def count_queries() -> Callable[[], AbstractContextManager[Queries]]:
    """``with count_queries() as queries:`` notes what every database gets, on all threads.

    Then ``queries.counts()`` by name, ``queries.per_cell()``, ``queries.on("api")``.
    """
    return counting


# --- the cloud around the databases ---------------------------------------------------------


@pytest.fixture
def placement(tmp_path: Path, settings: Settings) -> Iterator[Placement]:
    """An empty placement that the portal is attached to; ``placement_conf`` is its nova.conf."""
    server = Placement()
    conf = tmp_path / "nova.conf"
    conf.write_text(
        f"[placement]\nauth_type = admin_token\nendpoint = {server.url}\ntoken = admin\n"
    )
    settings.NOVA_CONFIG = load([str(conf)])
    settings.PLACEMENT_DEADLINE = 10.0
    settings.CLOUD_RETRY_AFTER = 0.01
    forget_clients()
    forget_facts()
    with server.running():
        yield server
    forget_clients()
    forget_facts()


@pytest.fixture
def placement_conf(tmp_path: Path, placement: Placement) -> Path:
    return tmp_path / "nova.conf"


# --- clients --------------------------------------------------------------------------------


@pytest.fixture
def admin_token(db: None) -> str:
    """The token of a user ``operator``, who is an administrator."""
    user = User.objects.create_superuser("operator")
    token, text = ApiToken.objects.issue(user)
    token.note_use()  # so that the requests that tests count do not write that down
    return text


@pytest.fixture
def api(cloud: Cloud, admin_token: str) -> ApiClient:
    """A client of the compute API with an administrator's token.

    ``api.get("/os-services", version="2.53")`` gives ``.status``, ``.body``, ``.headers``;
    ``api.as_user("bob", "reader")`` and ``api.anonymous()`` are clients of others.
    """
    return ApiClient(admin_token)


@pytest.fixture
def portal_server(cloud: Cloud, tmp_path: Path) -> Iterator[PortalServer]:
    """The portal served by gunicorn, attached to the cloud's databases, for real clients.

    Users and tokens made in the test are known to it.
    """
    environment = {
        "NOVA_API_DATABASE_URL": cloud.api_url,
        "DATABASE_URL": cloud.portal_url,
        "CELL_MAPPINGS_TTL": "1",
        "CELL_DEADLINE": "10",
        "VAR_DIR": str(tmp_path),
    }
    with serve(environment, tmp_path / "gunicorn.log") as server:
        yield server


# --- cells that do not answer -----------------------------------------------------------------


@pytest.fixture
def short_deadline(settings: Settings) -> float:
    """A deadline of ``SHORT_DEADLINE``, so that tests that use it up are short."""
    settings.CELL_DEADLINE = SHORT_DEADLINE
    return SHORT_DEADLINE


@pytest.fixture
def hung_cell(cloud: Cloud, short_deadline: float) -> Iterator[Cell]:
    """cell2, whose server accepts connections and never answers; the deadline is short."""
    with SilentServer() as server:
        yield cloud.point("cell2", f"postgresql://nova:secret@127.0.0.1:{server.port}/nova_cell2")


@pytest.fixture
def dead_cell(cloud: Cloud) -> Cell:
    """cell2, whose server refuses connections."""
    return cloud.point("cell2", f"postgresql://nova:secret@127.0.0.1:{free_port()}/nova_cell2")


# --- the run --------------------------------------------------------------------------------


def engine_of(item: pytest.Item) -> str | None:
    """The engine that a test is to run on, if it has one."""
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("databases")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out engines that a test is not for: see the markers ``server`` and ``any_engine``.

    Tests in a browser share a portal and a browser, so one process runs them all.
    """
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent / "e2e"):
            item.add_marker(pytest.mark.xdist_group("e2e"))
    left_out: list[pytest.Item] = []
    for item in items:
        engine = engine_of(item)
        if engine is not None and (
            (item.get_closest_marker("server") and engine == SQLite.name)
            or (item.get_closest_marker("any_engine") and engine != SQLite.name)
        ):
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note which engine the test runs on, for the summary."""
    if (engine := engine_of(item)) is not None:
        item.user_properties.append(("engine", engine))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put all tests of an engine that is missing on one line of the summary."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value.__context__, EngineMissing):
        report.longrepr = (__file__, 0, f"Skipped: {call.excinfo.value}")
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say on which engines tests ran, and why not on others."""
    ran: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            name = dict(getattr(report, "user_properties", ())).get("engine")
            if name is None:
                continue
            if report.when == "call":
                ran[name] += 1
            elif report.skipped and isinstance(report.longrepr, tuple):
                reasons.setdefault(name, report.longrepr[2].removeprefix("Skipped: "))
    if not ran and not reasons:
        return
    terminalreporter.section("databases")
    for name in ENGINES:
        if ran[name]:
            terminalreporter.line(f"{name}: {ran[name]} tests")
        elif name in reasons:
            terminalreporter.line(f"{name}: NOT TESTED, {reasons[name]}", yellow=True)
