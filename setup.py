"Package metadata lives in settings.ini; this file only hands it to setuptools."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

parser = ConfigParser(delimiters=['='])
parser.read('settings.ini', encoding='utf-8')
cfg = parser['DEFAULT']
lib = cfg['lib_name']

setup(
    name=lib,
    version=cfg['version'],
    description=cfg['description'],
    author=cfg['author'],
    author_email=cfg['author_email'],
    license='Apache-2.0',
    keywords=cfg['keywords'].split(),
    long_description=Path('README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    python_requires='>=' + cfg['min_python'],
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Education',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3 :: Only',
        'Typing :: Typed',
        *(f'Programming Language :: Python :: {version}'
          for version in cfg['tested_python'].split())],
    install_requires=cfg['requirements'].split(),
    extras_require={key.removesuffix('_requirements'): cfg[key].split()
                    for key in cfg if key.endswith('_requirements')},
    packages=find_packages(include=[lib, f'{lib}.*'], exclude=[f'{lib}._dev*']),
    package_data={lib: ['py.typed', '*.j2', '*.mplstyle', 'widgets/static/*',
                        'weights/*', 'samples/*']},
    entry_points={'console_scripts': cfg['console_scripts'].split()},
)
