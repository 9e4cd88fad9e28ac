using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Data views as objects, and single columns as sequences.</summary>
public sealed class CreateEnumerableTests
{
    private readonly MLContext _context = new(1);

    [Fact]
    public void RowsBecomeObjects()
    {
        Row[] rows = [.. _context.Data.CreateEnumerable<Row>(View(3), reuseRowObject: false)];

        Assert.Equal(["0", "1", "2"], rows.Select(row => row.Name));
        Assert.Equal([2f, 4], rows[2].Values);
        Assert.Equal([1u, 2, 3], rows.Select(row => row.Key));
        Assert.Equal([2f, 4], rows[2].Buffer.DenseValues());
        Assert.Equal(["w2"], rows[2].Words);
    }

    [Fact]
    public void ObjectsAreUsedAgainOnDemand()
    {
        Row[] rows = [.. _context.Data.CreateEnumerable<Row>(View(3), reuseRowObject: true)];

        Assert.All(rows, row => Assert.Same(rows[0], row));
        Assert.Equal("2", rows[0].Name);
    }

    [Fact]
    public void MissingColumnsAreAnErrorOrIgnored()
    {
        IDataView view = _context.Transforms.DropColumns("Name").Fit(View(1)).Transform(View(1));

        Exception error = Assert.Throws<ArgumentOutOfRangeException>(
            () => _context.Data.CreateEnumerable<Row>(view, reuseRowObject: false).Count());
        Assert.Contains("'Name'", error.Message);
        Row row = _context.Data.CreateEnumerable<Row>(view, reuseRowObject: false, ignoreMissingColumns: true).Single();
        Assert.Equal("unset", row.Name);
    }

    [Fact]
    public void TypesMustFit()
    {
        Exception error = Assert.Throws<InvalidOperationException>(
            () => _context.Data.CreateEnumerable<WrongType>(View(1), reuseRowObject: false).Count());
        Assert.Contains("Name", error.Message);
        Assert.Throws<InvalidOperationException>(
            () => _context.Data.CreateEnumerable<WrongKind>(View(1), reuseRowObject: false).Count());
    }

    [Fact]
    public void DefinitionsSayWhatGoesWhere()
    {
        SchemaDefinition definition = SchemaDefinition.Create(typeof(OneNumber));
        definition["Number"].ColumnType = new KeyDataViewType(typeof(uint), 10);
        definition["Number"].ColumnName = "Key";

        Assert.Equal(
            [1u, 2],
            _context.Data.CreateEnumerable<OneNumber>(View(2), false, schemaDefinition: definition).Select(x => x.Number));
    }

    [Fact]
    public void ColumnsBecomeSequences()
    {
        IDataView view = View(2);

        Assert.Equal(["0", "1"], view.GetColumn<string>("Name"));
        Assert.Equal([1u, 2], view.GetColumn<uint>("Key"));
        Assert.Equal([[0f, 0], [1f, 2]], view.GetColumn<float[]>("Values").ToArray());
        Assert.Equal([["w0"], ["w1"]], view.GetColumn<string[]>(view.Schema["Words"]).ToArray());
        Assert.Equal(2, view.GetColumn<VBuffer<float>>("Values").Count());
        Assert.Throws<ArgumentOutOfRangeException>(() => view.GetColumn<int>("Name"));
        Assert.Throws<ArgumentOutOfRangeException>(() => view.GetColumn<float[]>("Key"));
        Assert.Throws<ArgumentOutOfRangeException>(() => view.GetColumn<double[]>("Values"));
        Assert.Throws<ArgumentOutOfRangeException>(() => view.GetColumn<int>("None"));
    }

    [Fact]
    public void PreviewsShowTheFirstRows()
    {
        DataDebuggerPreview preview = View(5).Preview(maxRows: 2);

        Assert.Equal("5 columns, 2 rows", preview.ToString());
        Assert.Equal(2, preview.RowView.Length);
        Assert.Equal(5, preview.ColumnView.Length);
        Assert.Equal("Key", preview.RowView[1].Values.Single(pair => pair.Key == "Key").Key);
        Assert.Equal(2u, preview.RowView[1].Values.Single(pair => pair.Key == "Key").Value);
        Assert.Equal([1u, 2u], preview.ColumnView.Single(column => column.Column.Name == "Key").Values);
        Assert.Equal(6, _context.Transforms.CopyColumns("K2", "Key").Preview(View(5), 3, 2).Schema.Count);
    }

    private IDataView View(int count) => _context.Data.LoadFromEnumerable(Enumerable.Range(0, count).Select(i => new Row
    {
        Name = $"{i}",
        Values = [i, 2 * i],
        Key = (uint)i,
        Buffer = new VBuffer<float>(2, [i, 2 * i]),
        Words = [$"w{i}"],
    }).ToArray());

    private sealed class Row
    {
        public string Name { get; set; } = "unset";

        [VectorType(2)]
        public float[] Values { get; set; } = [];

        [KeyType(10)]
        public uint Key { get; set; }

        [VectorType(2)]
        public VBuffer<float> Buffer { get; set; }

        public string[] Words { get; set; } = [];
    }

    private sealed class WrongType
    {
        public int Name { get; set; }
    }

    private sealed class WrongKind
    {
        public float Values { get; set; }
    }

    private sealed class OneNumber
    {
        public uint Number { get; set; }
    }
}
