# SPDX-License-Identifier: MIT
"""show_coverage.py BUILD [--lines]: which lines of the library and the command have run in a build folder with
b_coverage, as a table by room, and those that have not, by file."""
import collections
import json
import pathlib
import subprocess
import sys


# In the order in which they may include each other.
ROOMS = [f'lib/{room}' for room in ('base', 'ring', 'process', 'cgroup', 'capture', 'accounting', 'containment', 'limits',
                                    'json', 'reactor')] + ['cli', 'include', 'all']


def counted_lines(build, source):
    """For each file below the source: the lines that are code, each with how often it has run."""
    files = collections.defaultdict(collections.Counter)
    # By what the compiler has left, so that what has never run at all is counted too. Of the suites as well: of an inline
    # function that is in several objects the linker takes the first, with its counters, and that is the suite's.
    for notes in build.glob('**/*.gcno'):
        gcov = subprocess.run(['gcov', '--json-format', '--stdout', notes.relative_to(build)], cwd=build, check=True,
                              capture_output=True, text=True)
        for complaint in gcov.stderr.splitlines():
            # Counts of another build, or cut off while they were written, would be taken for zero.
            print(f'gcov: {complaint}', file=sys.stderr)
        for found in map(json.loads, gcov.stdout.splitlines()):
            directory = pathlib.Path(found['current_working_directory'])
            for file in found['files']:
                path = (directory / file['file']).resolve()
                if path.is_relative_to(source) and room(path.relative_to(source)) in ROOMS:
                    for line in file['lines']:
                        files[path.relative_to(source)][line['line_number']] += line['count']
    return files


def room(path):
    return '/'.join(path.parts[:2]) if path.parts[0] == 'lib' else path.parts[0]


def ranges(numbers):
    """[1, 2, 3, 7] as '1-3, 7'."""
    pieces = []
    for number in numbers:
        if pieces and pieces[-1][1] == number - 1:
            pieces[-1][1] = number
        else:
            pieces.append([number, number])
    return ', '.join(str(first) if first == last else f'{first}-{last}' for first, last in pieces)


def main():
    source = pathlib.Path(__file__).resolve().parent.parent
    files = counted_lines(pathlib.Path(sys.argv[1]).resolve(), source)
    table = collections.defaultdict(lambda: [0, 0])
    for path, lines in files.items():
        for name in (room(path), 'all'):
            table[name][0] += sum(count > 0 for count in lines.values())
            table[name][1] += len(lines)
    for name, (run, lines) in sorted(table.items(), key=lambda item: ROOMS.index(item[0])):
        print(f'{name:16} {run:6} of {lines:6} lines  {100 * run / lines:5.1f} %')
    print('keeper           and lib/process/exec_child.cpp: not counted, as they are without libc')
    if '--lines' in sys.argv[2:]:
        for path, lines in sorted(files.items()):
            not_run = sorted(number for number, count in lines.items() if count == 0)
            if not_run:
                print(f'{path}: {ranges(not_run)}')


main()
