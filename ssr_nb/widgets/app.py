"The widgets as an app on this machine: `ssr_nb_app`, served by Voila."
import argparse
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

__all__ = ['main']

PATIENCE = 10.   # seconds for the server to end its kernels


def write_template(
    folder: Path,  # will be on Jupyter's search path
) -> None:
    "Voila's own template `lab`, without what it fetches from the network."
    from jupyter_core.paths import jupyter_path
    places = [Path(p)/'index.html.j2' for p in jupyter_path('voila', 'templates', 'lab')]
    lab = next((p for p in places if p.exists()), None)
    if lab is None: raise FileNotFoundError("no Voila: pip install 'ssr_nb[app]'")
    here = folder/'voila'/'templates'/'ssr'
    here.mkdir(parents=True)
    (here/'conf.json').write_text('{"base_template": "lab"}')
    (here/'index.html.j2').write_text(
        re.sub('<link[^>]*https://[^>]*>', '', lab.read_text()))


def app_command(
    notebook: Path,
    port: int | str,
) -> list[str]:
    "Voila on this machine only. Its token stands in a file: see `app_environment`."
    return [sys.executable, '-m', 'voila', str(notebook), '--no-browser',
            '--template=ssr', '--Voila.ip=127.0.0.1', f'--port={port}',
            '--Voila.port_retries=0']


def app_environment(
    folder: Path,         # for Voila's settings; readable by its owner alone
    keep: Path,           # folder for runs and meshes of the app
    token: str,           # who does not know it is turned away
) -> dict[str, str]:      # what Voila needs in its environment
    "Let Voila find its template and token, and the app its folder."
    folder.mkdir(mode=0o700, exist_ok=True)
    write_template(folder)
    (folder/'voila.json').write_text(json.dumps({'Voila': {'token': token}}))
    def first(variable: str) -> str:
        return os.pathsep.join(filter(None, [str(folder), os.environ.get(variable, '')]))
    return {'JUPYTER_PATH': first('JUPYTER_PATH'),
            'JUPYTER_CONFIG_PATH': first('JUPYTER_CONFIG_PATH'),
            'SSR_APP_FOLDER': str(keep.resolve())}


def run_server(
    command: list[str],
    env: dict[str, str],   # environment, added to ours
) -> int:                  # exit code
    "Run a server; however this process is ended, the server and its kernels end."
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    with subprocess.Popen(command, env={**os.environ, **env},
                          start_new_session=True) as process:
        try: return process.wait()
        except KeyboardInterrupt: return 0
        finally:
            process.terminate()   # Voila shuts its kernels down
            try: process.wait(PATIENCE)
            except subprocess.TimeoutExpired: process.kill()


def main(
    words: Sequence[str] | None = None,  # None: those of the shell
) -> int:                                # exit code
    "The widgets as an app on this machine."
    parser = argparse.ArgumentParser(prog='ssr_nb_app', description=main.__doc__)
    parser.add_argument('--notebook', type=Path, default=Path('nbs/app.ipynb'),
                        help='what is served (default: the five widgets)')
    parser.add_argument('--folder', type=Path, default=Path('app'),
                        help='where its run and its meshes are kept')
    parser.add_argument('--port', type=int, default=8866)
    args = parser.parse_args(words)
    if not args.notebook.exists():
        parser.error(f'--notebook {args.notebook}: no such file')
    token = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory() as folder:
        try: env = app_environment(Path(folder), args.folder, token)
        except FileNotFoundError as missing: parser.error(str(missing))
        print(f'http://127.0.0.1:{args.port}/?token={token}', flush=True)
        return run_server(app_command(args.notebook, args.port), env)


if __name__ == '__main__': sys.exit(main())
