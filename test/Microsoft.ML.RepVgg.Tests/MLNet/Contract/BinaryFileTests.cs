using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Data views in binary files.</summary>
public sealed class BinaryFileTests : IDisposable
{
    private readonly MLContext _context = new(1);
    private readonly string _folder = Directory.CreateTempSubdirectory("binary-files").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void ValuesTypesAndAnnotationsComeBack()
    {
        IDataView source = _context.Data.LoadFromEnumerable(Enumerable.Range(0, 300).Select(i => new Row
        {
            Text = i % 7 == 0 ? "" : $"text {i % 5} é",
            Vector = [i, -i, 0.5f],
            Free = new float[i % 4],
            Key = (uint)(i % 3),
            Flag = i % 2 == 0,
            Number = i * 0.1,
            Long = -i,
            When = new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc).AddHours(i),
        }).ToArray());
        IDataView view = _context.Transforms.Conversion.MapValueToKey("Word", "Text").Fit(source).Transform(source);

        IDataView loaded = _context.Data.LoadFromBinary(Save(view));

        Assert.Equal(view.Schema.Names(), loaded.Schema.Names());
        Assert.Equal(view.Schema.Select(column => column.Type), loaded.Schema.Select(column => column.Type));
        Assert.Equal(300, loaded.GetRowCount());
        Assert.Equal(view.Texts("Text"), loaded.Texts("Text"));
        Assert.Equal(view.Vectors<float>("Vector"), loaded.Vectors<float>("Vector"));
        Assert.Equal(view.Vectors<float>("Free"), loaded.Vectors<float>("Free"));
        Assert.Equal(view.Values<uint>("Key"), loaded.Values<uint>("Key"));
        Assert.Equal(view.Values<bool>("Flag"), loaded.Values<bool>("Flag"));
        Assert.Equal(view.Values<double>("Number"), loaded.Values<double>("Number"));
        Assert.Equal(view.Values<long>("Long"), loaded.Values<long>("Long"));
        Assert.Equal(view.Values<DateTime>("When"), loaded.Values<DateTime>("When"));
        Assert.Equal(view.Values<uint>("Word"), loaded.Values<uint>("Word"));
        Assert.Equal(view.Schema["Word"].KeyTexts(), loaded.Schema["Word"].KeyTexts());
    }

    [Fact]
    public void SparseVectorsComeBack()
    {
        IDataView source = _context.Data.LoadFromEnumerable([new Buffer { V = new VBuffer<float>(1000, 2, [1f, 2], [3, 999]) }]);
        IDataView loaded = _context.Data.LoadFromBinary(Save(source));

        Assert.Equal(source.Vectors<float>("V")[0], loaded.Vectors<float>("V")[0]);
    }

    [Fact]
    public void HiddenColumnsAreSavedOnDemand()
    {
        IDataView hidden = _context.Transforms.CopyColumns("Number", "Number").Fit(new NumbersView())
            .Transform(new NumbersView(1, 2));

        Assert.Equal(["Number"], _context.Data.LoadFromBinary(Save(hidden)).Schema.Names());
        Assert.Equal(["Number", "Number"], _context.Data.LoadFromBinary(Save(hidden, keepHidden: true)).Schema.Names());
    }

    [Fact]
    public void EmptyViewsComeBack()
    {
        IDataView loaded = _context.Data.LoadFromBinary(Save(new NumbersView()));

        Assert.Equal(["Number"], loaded.Schema.Names());
        Assert.Empty(loaded.Values<float>("Number"));
    }

    [Fact]
    public void SourcesOfStreamsAreReadToo()
    {
        IDataView loaded = _context.Data.LoadFromBinary(new MultiFileSource(Save(new NumbersView(1, 2, 3))));

        Assert.Equal([1f, 2, 3], loaded.Values<float>("Number"));
        Assert.Equal([1f, 2, 3], loaded.Values<float>("Number"));
    }

    [Fact]
    public void OtherFilesAreRefused()
    {
        string path = Path.Combine(_folder, "other");
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.LoadFromBinary(path));
        File.WriteAllText(path, new string('x', 5000));
        Assert.Throws<FormatException>(() => _context.Data.LoadFromBinary(path));
    }

    private string Save(IDataView view, bool keepHidden = false)
    {
        string path = Path.Combine(_folder, Guid.NewGuid().ToString("N"));
        using FileStream stream = File.Create(path);
        _context.Data.SaveAsBinary(view, stream, keepHidden);
        return path;
    }

    private sealed class Row
    {
        public string Text { get; set; } = "";

        [VectorType(3)]
        public float[] Vector { get; set; } = [];

        public float[] Free { get; set; } = [];

        [KeyType(3)]
        public uint Key { get; set; }

        public bool Flag { get; set; }

        public double Number { get; set; }

        public long Long { get; set; }

        public DateTime When { get; set; }
    }

    private sealed class Buffer
    {
        [VectorType(1000)]
        public VBuffer<float> V { get; set; }
    }
}
