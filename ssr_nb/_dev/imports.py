"Imports go one way, from a room to the rooms below it, also at run time."
import ast
import re
from collections.abc import Iterator
from pathlib import Path

from ssr_nb._dev.chapters import LIB, ROOT

__all__ = ['ROOMS', 'imported', 'late_imports', 'room_of']

# From the ground up; rooms of one line do not know each other.
ROOMS = [line.split() for line in '''
    core
    checks  progress  imagefile
    mesh
    camera
    raster.options
    raster.reference
    raster.cpu  raster.triton
    raster
    voxels
    render
    losses  display  raster.bench
    atlas
    objfile  gltffile
    meshio
    shapes
    data
    reconstruct
    siamvp
    rules
    ring
    config
    distributed
    steps
    train
    runs
    callbacks
    evaluate
    tables  figures  pretrained
    report
    sweep
    widgets
    cli
    __init__
    _dev
'''.split('\n') if line.strip()]
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
TOOLS = 'nbdev', 'execnb', 'ghapi'   # for _dev alone


def module_name(
    path: Path,   # of a module of the package
    root: Path,   # the project
) -> str:         # 'raster.cpu'; 'raster' for raster/__init__.py
    "Name of a module within the package; '__init__' for the package itself."
    parts = path.relative_to(root/LIB).with_suffix('').parts
    if len(parts) > 1 and parts[-1] == '__init__': parts = parts[:-1]
    return '.'.join(parts)


def module_paths(
    root: Path = ROOT,
) -> dict[str, Path]:   # name within the package: file
    "All modules of the package."
    return {module_name(path, root): path
            for path in sorted((root/LIB).rglob('*.py'))}


def room_of(
    module: str,    # 'data.npz'
) -> str | None:    # 'data'
    "The room that a module belongs to; None for one without a room."
    parts = module.split('.')
    names = ('.'.join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((name for name in names if name in FLOOR), None)


def resolve(
    name: str,          # 'ssr_nb.data.load_split'
    modules: set[str],  # all there are
) -> str | None:        # 'data'; None outside of the package
    "The module that a dotted name leads to."
    first, *parts = name.split('.')
    if first != LIB or parts == ['__version__']: return None
    while parts and '.'.join(parts) not in modules: parts.pop()
    return '.'.join(parts) or '__init__'


def absolute(
    name: str,     # '.cpu', '..mesh', 'os'
    package: str,  # 'ssr_nb.raster'
) -> str:
    "A relative name of a module from its root."
    dots = len(name) - len(name.lstrip('.'))
    if not dots: return name
    base = package.split('.')
    return '.'.join([*base[:len(base) - dots + 1], name[dots:]]).rstrip('.')


def statement_names(
    node: ast.AST,
    package: str,
) -> list[str]:    # dotted, absolute
    "What an import statement names."
    if isinstance(node, ast.Import): return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom): return []
    base = absolute('.'*node.level + (node.module or ''), package)
    return [f'{base}.{alias.name}' for alias in node.names]


def text_of(
    node: ast.AST,
    package: str,
) -> str:          # f'{__package__}.cli' → 'ssr_nb.cli'; unknown parts: a blank
    "What a string says, as far as one can read it."
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ''
    if isinstance(node, ast.Name):
        return {'__package__': package, '__name__': package}.get(node.id, ' ')
    if isinstance(node, ast.FormattedValue): return text_of(node.value, package)
    if isinstance(node, ast.JoinedStr):
        return ''.join(text_of(part, package) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left, package) + text_of(node.right, package)
    return ' '


def called_names(
    node: ast.AST,
    package: str,
) -> Iterator[str]:   # dotted, absolute
    "What import_module(…), __import__(…) and strings such as '-m ssr_nb.x' name."
    if isinstance(node, ast.Call):
        function = ast.unparse(node.func).split('.')[-1]
        if function in ('import_module', '__import__', 'find_spec') and node.args:
            name = text_of(node.args[0], package).strip()
            if re.fullmatch(r'\.*\w[\w.]*', name): yield absolute(name, package)
    elif isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp)):
        yield from re.findall(rf'\b{LIB}(?:\.\w+)+', text_of(node, package))


def docstrings(
    tree: ast.Module,
) -> set[ast.AST]:
    "Strings that stand alone: they document and name nothing."
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)}


def imported(
    source: str,        # of one module
    module: str,        # its name within the package
    modules: set[str],  # all there are
    is_package: bool = False,
) -> set[str]:          # modules of the package, and tools of TOOLS
    "What a module imports, wherever and in whatever way it does."
    package = LIB if module == '__init__' else f'{LIB}.{module}'
    if not is_package: package = package.rpartition('.')[0]
    tree = ast.parse(source)
    silent, names = docstrings(tree), set()
    for node in ast.walk(tree):
        names |= set(statement_names(node, package))
        if node not in silent: names |= set(called_names(node, package))
    own = {found for name in names if (found := resolve(name, modules))}
    return own - {module} | {name.split('.')[0] for name in names
                             if name.split('.')[0] in TOOLS}


def allowed(
    module: str,
    other: str,    # what it imports
) -> bool:
    "Whether the other module is in the same room or in one below."
    room, target = room_of(module), room_of(other)
    if other in TOOLS: return room == '_dev'
    if room is None or target is None: return False
    return room == target or FLOOR[target] < FLOOR[room]


def late_imports(
    root: Path = ROOT,         # the project
) -> list[tuple[str, str]]:    # (module, what it may not import)
    "Imports of a module in a room above, or in none."
    paths = module_paths(root)
    return sorted(
        (module, other) for module, path in paths.items() if module != '__init__'
        for other in imported(path.read_text(encoding='utf-8'), module, set(paths),
                              path.name == '__init__.py')
        if not allowed(module, other))
