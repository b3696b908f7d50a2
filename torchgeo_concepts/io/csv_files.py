# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""CSV files, read in batches of rows. All values determine the type of a column."""

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import pyarrow.csv as pc_csv

# Maximum number of bytes of a record of a CSV file.
MAX_RECORD = 2**30

# A column gets the first type that parses every value.
TYPES = (
    pa.int64(),
    pa.uint64(),
    pa.float64(),
    pa.bool_(),
    pa.date32(),
    pa.timestamp('us'),
    pa.string(),
)

# Postal and census codes, which would lose leading zeros, and hexadecimal numbers.
CODES = r'^[+-]?0[\dxX]'

# Integers that a float would round, such as cell ids.
LONG_INTEGERS = r'^[+-]?\d{16,}$'


@dataclass(frozen=True)
class CSVFile:
    """CSV file with a header, plain or compressed.

    Attributes:
        path: The file.
        delimiter: Character between two cells.
        block_size: Number of bytes to parse at a time.
    """

    path: Path
    delimiter: str
    block_size: int

    @classmethod
    def sniff(cls, path: Path, batch_rows: int) -> 'CSVFile':
        """Find the delimiter in the header of a file.

        Args:
            path: The file.
            batch_rows: Approximate number of rows to parse at a time.
        """
        with pa.input_stream(path) as stream:
            header = stream.read(65_536).split(b'\n', 1)[0]
        delimiter = max(',;\t|', key=lambda sign: header.count(sign.encode()))
        return cls(path, delimiter, max(100 * batch_rows, 2 * len(header), 4096))

    def names(self) -> list[str]:
        """Read the names of the columns.

        Raises:
            ValueError: If the file cannot be read, or two columns have the same name.
        """
        with self._open(()) as stream:
            names: list[str] = stream.schema.names
        check_unique(self.path, names)
        return names

    def with_longer_blocks(self) -> 'CSVFile':
        """Return the file with blocks that are eight times as long."""
        return replace(self, block_size=min(8 * self.block_size, MAX_RECORD))

    def read(
        self, types: Mapping[str, pa.DataType], columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """Read columns in the given types, and all others as text.

        Args:
            types: Types of columns by name.
            columns: Names of the columns to read.

        Yields:
            Batches of rows, in the order of the file.

        Raises:
            LongRecordError: If a record is longer than a block.
            ValueError: If the file cannot be read.
        """
        # Read all columns as text first, because pyarrow infers types from the first
        # block.
        with self._open(columns) as stream:
            for text in stream:
                arrays = [pc.cast(text[c], types.get(c, pa.string())) for c in columns]
                yield pa.RecordBatch.from_arrays(arrays, names=list(columns))

    def infer_types(self, text: Sequence[str]) -> dict[str, pa.DataType]:
        """Find the types of all columns by reading the file once.

        Args:
            text: Names of the columns to leave as text.

        Returns:
            Types by name.

        Raises:
            ValueError: If the file cannot be read.
        """
        names = self.names()
        candidates = {name: TYPES[-1:] if name in text else TYPES for name in names}
        num_rows = 0
        for batch in self.read({}, names):
            num_rows += batch.num_rows
            for name, types in candidates.items():
                parsed = [kind for kind in types if _parses(batch[name], kind)]
                candidates[name] = tuple(parsed)
        chosen = 0 if num_rows else -1
        return {name: types[chosen] for name, types in candidates.items()}

    @contextmanager
    def _open(self, columns: Sequence[str]) -> Iterator['pc_csv.CSVStreamingReader']:
        # Imported late, since models import this module and seldom read a CSV file.
        import pyarrow.csv as pc_csv

        ragged: list[pc_csv.InvalidRow] = []

        def keep(row: pc_csv.InvalidRow) -> str:
            ragged.append(row)
            return 'error'

        try:
            with pc_csv.open_csv(
                pa.input_stream(self.path),
                # With several threads, pyarrow does not number the rows.
                pc_csv.ReadOptions(block_size=self.block_size, use_threads=False),
                pc_csv.ParseOptions(
                    delimiter=self.delimiter,
                    newlines_in_values=True,
                    invalid_row_handler=keep,
                ),
                pc_csv.ConvertOptions(
                    column_types=dict.fromkeys(columns, pa.string()),
                    include_columns=list(columns),
                    null_values=[''],
                    strings_can_be_null=True,
                ),
            ) as stream:
                yield stream
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            check_utf8(self.path)
            for row in ragged:
                # The header is row number 1.
                raise ValueError(
                    f'{self.path}: row {row.number - 2} (counted from 0) has '
                    f'{row.actual_columns} cells, the header has {row.expected_columns}.'
                ) from error
            if 'straddling object' in str(error):
                raise LongRecordError(
                    f'Cannot read {self.path}: a record has more than '
                    f'{self.block_size:,} bytes. Shorten its cells, or close its '
                    'quotation marks.'
                ) from error
            raise ValueError(f'Cannot read {self.path}: {error}') from error


class LongRecordError(ValueError):
    """Error of a record of a CSV file that is longer than a block."""


def check_unique(path: Path, names: Sequence[str]) -> None:
    """Validate that all columns of a file have different names."""
    repeated = sorted(name for name, number in Counter(names).items() if number > 1)
    if repeated:
        raise ValueError(f'{path} has several columns named {repeated}.')


def _parses(column: pa.Array, kind: pa.DataType) -> bool:
    """Return True if all values of a column of text can be parsed as a type."""
    if pa.types.is_string(kind):
        return True
    loses_digits = f'{CODES}|{LONG_INTEGERS}' if pa.types.is_floating(kind) else CODES
    if pc.any(pc.match_substring_regex(column, loses_digits)).as_py():
        return False
    try:
        pc.cast(column, kind)
    except pa.ArrowInvalid:
        return False
    return True


def check_utf8(path: Path) -> None:
    """Validate that a text file, plain or compressed, is in UTF-8.

    Args:
        path: The file.

    Raises:
        ValueError: If it is in another encoding.
    """
    offset = 0
    with pa.input_stream(path) as stream:
        for line in io.BufferedReader(stream):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise ValueError(
                    f'{path} is not UTF-8: byte {offset + error.start} cannot be '
                    'decoded. Save it as UTF-8.'
                ) from error
            offset += len(line)


def read_csv_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read all cells of a CSV file as text.

    Args:
        path: The file.

    Returns:
        Names of the columns, and a mapping for each row. Blank lines are left out.

    Raises:
        ValueError: If the file is not UTF-8, or a row has more or fewer cells than the
            header; the message names the row, counted from 0.
    """
    if not path.stat().st_size:
        return [], []
    file = CSVFile.sniff(path, batch_rows=16_384)
    names = file.names()
    rows = [row for batch in file.read({}, names) for row in batch.to_pylist()]
    return names, [{name: row[name] or '' for name in names} for row in rows]


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.

    Returns:
        The text.

    Raises:
        ValueError: If the file is in another encoding.
    """
    check_utf8(path)
    return path.read_text(encoding='utf-8-sig')
