using System.Text;
using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>A data view in a binary file: magic number, schema, number of rows, then the rows one after the other.</summary>
internal sealed class BinaryData : IDataView
{
    private const ulong Magic = 0x3130564944444E53;

    private readonly IMultiStreamSource _source;
    private readonly long _rowCount;

    internal BinaryData(IMultiStreamSource source)
    {
        Check.Param(source.Count > 0, "files", "Must specify at least one file");
        _source = source;
        using BinaryReader reader = Open(out DataViewSchema schema, out _rowCount);
        Schema = schema;
    }

    public bool CanShuffle => false;

    public DataViewSchema Schema { get; }

    public long? GetRowCount() => _rowCount;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null) =>
        new Cursor(this, ActiveSet.Of(columnsNeeded, Schema));

    public DataViewRowCursor[] GetRowCursorSet(
        IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];

    internal static void Write(IDataView data, Stream stream, bool keepHidden)
    {
        DataViewSchema.Column[] columns =
        [
            .. data.Schema.Where(
                column => (keepHidden || !column.IsHidden) && ValueSerializer.CanWrite(column.Type)),
        ];

        using var header = new BinaryWriter(stream, Encoding.UTF8, leaveOpen: true);
        header.Write(Magic);
        SchemaSerializer.Write(header, columns);
        header.Flush();

        // The number of rows comes first but is known last: it is filled in where that is possible.
        if (stream.CanSeek)
        {
            long place = stream.Position;
            header.Write(0L);
            header.Flush();
            long count = WriteRows(data, columns, stream);
            long end = stream.Position;
            stream.Position = place;
            header.Write(count);
            header.Flush();
            stream.Position = end;
        }
        else
        {
            using var rows = new MemoryStream();
            header.Write(WriteRows(data, columns, rows));
            header.Flush();
            rows.WriteTo(stream);
        }
    }

    private static long WriteRows(IDataView data, DataViewSchema.Column[] columns, Stream stream)
    {
        using var writer = new BinaryWriter(stream, Encoding.UTF8, leaveOpen: true);
        using DataViewRowCursor cursor = data.GetRowCursor(columns);
        Action<BinaryWriter>[] values = Array.ConvertAll(
            columns, column => ValueSerializer.CreateWriter(UntypedGetters.Get(cursor, column), column.Type));
        long count = 0;
        for (; cursor.MoveNext(); count++)
        {
            foreach (Action<BinaryWriter> value in values)
            {
                value(writer);
            }
        }

        return count;
    }

    private BinaryReader Open(out DataViewSchema schema, out long rowCount)
    {
        var reader = new BinaryReader(new BufferedStream(_source.Open(0)), Encoding.UTF8);
        try
        {
            if (reader.ReadUInt64() != Magic)
            {
                throw new FormatException($"{_source.GetPathOrNull(0) ?? "The stream"} is no binary data file.");
            }

            schema = SchemaSerializer.Read(reader);
            rowCount = reader.ReadInt64();
            return reader;
        }
        catch (EndOfStreamException e)
        {
            reader.Dispose();
            throw new FormatException($"{_source.GetPathOrNull(0) ?? "The stream"} is cut off.", e);
        }
        catch
        {
            reader.Dispose();
            throw;
        }
    }

    private sealed class Cursor : CursorBase
    {
        private readonly BinaryData _data;
        private readonly bool[] _active;
        private readonly BinaryReader _reader;
        private readonly (Action<BinaryReader> Next, Delegate Getter)[] _columns;

        internal Cursor(BinaryData data, bool[] active)
        {
            _data = data;
            _active = active;
            _reader = data.Open(out _, out _);
            _columns = [.. data.Schema.Select(column => ValueSerializer.CreateReader(column.Type))];
        }

        public override DataViewSchema Schema => _data.Schema;

        public override bool IsColumnActive(DataViewSchema.Column column) => _active[column.Index];

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
        {
            if (!IsColumnActive(column))
            {
                throw Check.InactiveColumn(column);
            }

            ValueGetter<TValue> getter = _columns[column.Index].Getter as ValueGetter<TValue>
                ?? throw Check.WrongGetterType(Schema[column.Index], typeof(TValue));
            return (ref TValue value) =>
            {
                ThrowIfNoRow();
                getter(ref value);
            };
        }

        protected override bool MoveNextCore()
        {
            if (Position + 1 >= _data._rowCount)
            {
                return false;
            }

            try
            {
                foreach ((Action<BinaryReader> next, _) in _columns)
                {
                    next(_reader);
                }
            }
            catch (EndOfStreamException e)
            {
                throw new FormatException(
                    $"{_data._source.GetPathOrNull(0) ?? "The stream"} is cut off in row {Position + 1}.", e);
            }

            return true;
        }

        protected override void Release() => _reader.Dispose();
    }
}
