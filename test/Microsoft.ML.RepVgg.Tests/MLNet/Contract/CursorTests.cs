using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Cursors of stock views: positions, ids, inactive columns, ends.</summary>
public sealed class CursorTests
{
    private readonly MLContext _context = new(1);

    [Fact]
    public void PositionsCountFromZero()
    {
        using DataViewRowCursor cursor = View().GetRowCursor([]);

        Assert.Equal(-1, cursor.Position);
        Assert.True(cursor.MoveNext());
        Assert.Equal(0, cursor.Position);
        Assert.True(cursor.MoveNext());
        Assert.True(cursor.MoveNext());
        Assert.Equal(2, cursor.Position);
        Assert.False(cursor.MoveNext());
        Assert.False(cursor.MoveNext());
        Assert.Equal(-1, cursor.Position);
    }

    [Fact]
    public void ColumnsThatWereNotAskedForHaveNoGetter()
    {
        IDataView view = View();
        using DataViewRowCursor cursor = view.GetRowCursor([view.Schema["A"]]);

        Assert.True(cursor.IsColumnActive(view.Schema["A"]));
        Assert.False(cursor.IsColumnActive(view.Schema["B"]));
        Assert.ThrowsAny<Exception>(() => cursor.GetGetter<int>(view.Schema["B"]));
        Assert.ThrowsAny<Exception>(() => cursor.GetGetter<float>(view.Schema["A"]));
    }

    [Fact]
    public void InactiveColumnsOfTransformsHaveNoGetter()
    {
        IDataView view = _context.Transforms.CopyColumns("C", "A").Fit(View()).Transform(View());
        using DataViewRowCursor cursor = view.GetRowCursor([view.Schema["C"]]);

        Assert.False(cursor.IsColumnActive(view.Schema["A"]));
        Assert.ThrowsAny<Exception>(() => cursor.GetGetter<int>(view.Schema["A"]));
        Assert.NotNull(cursor.GetGetter<int>(view.Schema["C"]));
    }

    [Fact]
    public void ValuesNeedACurrentRow()
    {
        IDataView view = _context.Data.Cache(View());
        using DataViewRowCursor cursor = view.GetRowCursor([view.Schema["A"]]);
        ValueGetter<int> getter = cursor.GetGetter<int>(view.Schema["A"]);
        int value = 0;

        Assert.ThrowsAny<Exception>(() => getter(ref value));
        cursor.MoveNext();
        getter(ref value);
        Assert.Equal(1, value);
    }

    [Fact]
    public void IdsTellRowsApart()
    {
        using DataViewRowCursor cursor = View().GetRowCursor([]);
        ValueGetter<DataViewRowId> getter = cursor.GetIdGetter();
        HashSet<DataViewRowId> ids = [];
        while (cursor.MoveNext())
        {
            DataViewRowId id = default;
            getter(ref id);
            ids.Add(id);
        }

        Assert.Equal(3, ids.Count);
    }

    [Fact]
    public void CursorSetsTogetherShowEveryRowOnce()
    {
        IDataView view = _context.Transforms.CopyColumns("C", "A").Fit(View()).Transform(View());
        DataViewRowCursor[] cursors = view.GetRowCursorSet([view.Schema["C"]], 4);
        List<int> seen = [];

        // Cursors of a set wait for one another, so each gets a thread of its own.
        Thread[] threads = [.. cursors.Select(cursor => new Thread(() =>
        {
            using (cursor)
            {
                ValueGetter<int> getter = cursor.GetGetter<int>(view.Schema["C"]);
                while (cursor.MoveNext())
                {
                    int value = 0;
                    getter(ref value);
                    lock (seen)
                    {
                        seen.Add(value);
                    }
                }
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());

        Assert.Equal([1, 2, 3], seen.Order());
        Assert.InRange(cursors.Length, 1, 4);
    }

    [Fact]
    public void OutputsAreAppendedOrPutAfterWhatTheyHide()
    {
        IEstimator<ITransformer> pipeline = _context.Transforms.CopyColumns("A", "B")
            .Append(_context.Transforms.CopyColumns("C", "A"));
        IDataView view = pipeline.Fit(View()).Transform(View());

        Assert.Equal(["A", "A", "B", "C"], view.Schema.Names());
        Assert.True(view.Schema[0].IsHidden);
        Assert.Equal([10, 20, 30], view.Values<int>("C"));
        using DataViewRowCursor cursor = view.GetRowCursor([view.Schema[0]]);
        cursor.MoveNext();
        int value = 0;
        cursor.GetGetter<int>(view.Schema[0])(ref value);
        Assert.Equal(1, value);
    }

    private IDataView View() => _context.Data.LoadFromEnumerable(
        new[] { new Row(1), new Row(2), new Row(3) });

    private sealed class Row(int a)
    {
        public int A { get; } = a;

        public int B { get; } = 10 * a;
    }
}
