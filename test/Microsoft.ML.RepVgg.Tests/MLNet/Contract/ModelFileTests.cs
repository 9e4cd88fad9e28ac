using System.IO.Compression;
using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Saving and loading models, and what happens with files that are no models.</summary>
public sealed class ModelFileTests : IDisposable
{
    private readonly MLContext _context = new(1);
    private readonly string _folder = Directory.CreateTempSubdirectory("model-files").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void LoadedModelsDoTheSame()
    {
        IDataView data = View("b", "a", "c", "b");
        IEstimator<ITransformer> pipeline = _context.Transforms.Conversion.MapValueToKey("Label")
            .Append(_context.Transforms.Concatenate("Features", "A", "V"))
            .Append(_context.Transforms.CopyColumns("Copy", "Features"))
            .Append(_context.Transforms.Conversion.MapKeyToValue("Back", "Label"))
            .Append(_context.Transforms.DropColumns("A"));
        ITransformer model = pipeline.Fit(data);
        string path = Path.Combine(_folder, "model.zip");

        _context.Model.Save(model, data.Schema, path);
        ITransformer loaded = new MLContext().Model.Load(path, out DataViewSchema schema);

        Assert.Equal(data.Schema.Names(), schema.Names());
        Assert.Equal(data.Schema.Select(column => column.Type), schema.Select(column => column.Type));
        Assert.IsType<TransformerChain<ITransformer>>(loaded);
        Assert.Equal(5, ((TransformerChain<ITransformer>)loaded).Count());
        IDataView test = View("c", "x", "a");
        IDataView expected = model.Transform(test);
        IDataView actual = loaded.Transform(test);
        Assert.Equal(expected.Schema.Names(), actual.Schema.Names());
        Assert.Equal(expected.Schema.Select(column => column.Type), actual.Schema.Select(column => column.Type));
        Assert.Equal([3u, 0, 2], actual.Values<uint>("Label"));
        Assert.Equal(["c", "", "a"], actual.Texts("Back"));
        Assert.Equal(expected.Vectors<float>("Copy"), actual.Vectors<float>("Copy"));
        Assert.Equal(["b", "a", "c"], actual.Schema["Label"].KeyTexts());
        Assert.Equal(["model.zip"], Directory.GetFiles(_folder).Select(Path.GetFileName));
    }

    [Fact]
    public void SchemasKeepTheirAnnotations()
    {
        IDataView data = View("b", "a");
        IDataView keyed = _context.Transforms.Conversion.MapValueToKey("Label").Fit(data).Transform(data);
        IDataView joined = _context.Transforms.Concatenate("F", "A", "V").Fit(keyed).Transform(keyed);
        ITransformer model = _context.Transforms.Conversion.MapKeyToValue("Back", "Label").Fit(joined);

        (ITransformer loaded, DataViewSchema schema) = RoundTrip(model, joined.Schema);

        Assert.Equal(["b", "a"], schema["Label"].KeyTexts());
        Assert.Equal(joined.Schema["Label"].Type, schema["Label"].Type);
        Assert.Equal(["A", "", ""], schema["F"].SlotTexts());
        Assert.Equal(joined.Schema.Names(), schema.Names());
        Assert.Equal(TextDataViewType.Instance, loaded.GetOutputSchema(schema)["Back"].Type);
    }

    [Fact]
    public void SingleTransformersComeBackAsTheyAre()
    {
        IDataView data = View("a");
        (ITransformer loaded, DataViewSchema schema) =
            RoundTrip(_context.Transforms.CopyColumns("C", "A").Fit(data), data.Schema);

        Assert.IsType<Transforms.ColumnCopyingTransformer>(loaded);
        Assert.Equal("C", loaded.GetOutputSchema(schema).Last().Name);
    }

    [Fact]
    public void TheSchemaMayBeLeftOut()
    {
        (ITransformer loaded, DataViewSchema schema) =
            RoundTrip(_context.Transforms.CopyColumns("C", "A").Fit(View("a")), null);

        Assert.Null(schema);
        Assert.Equal([0f], loaded.Transform(View("a")).Values<float>("C"));
    }

    [Fact]
    public void LoadedModelsCanBeSavedAgain()
    {
        IDataView data = View("b", "a");
        ITransformer model = _context.Transforms.Conversion.MapValueToKey("Label")
            .Append(_context.Transforms.DropColumns("V")).Fit(data);

        (ITransformer once, DataViewSchema schema) = RoundTrip(model, data.Schema);
        (ITransformer twice, _) = RoundTrip(once, schema);

        Assert.Equal([2u, 1], twice.Transform(View("a", "b")).Values<uint>("Label"));
    }

    [Fact]
    public void ModelFilesAreZipArchives()
    {
        using MemoryStream file = Save(_context.Transforms.CopyColumns("C", "A").Fit(View("a")), View("a").Schema);
        file.WriteByte(0);
        file.SetLength(file.Length - 1);
        file.Position = 0;
        using ZipArchive zip = new(file);

        Assert.Contains(zip.Entries, entry => entry.FullName.Replace('\\', '/').StartsWith("TransformerChain/", StringComparison.Ordinal));
        Assert.Contains(zip.Entries, entry => entry.FullName == "Schema");
    }

    [Fact]
    public void FilesThatAreNoModelsAreRefused()
    {
        string path = Path.Combine(_folder, "not-a-model.zip");

        Assert.Throws<FileNotFoundException>(() => _context.Model.Load(path, out _));
        File.WriteAllBytes(path, []);
        Assert.Throws<FormatException>(() => _context.Model.Load(path, out _));
        File.WriteAllText(path, "This is text and no zip archive at all.");
        Assert.Throws<FormatException>(() => _context.Model.Load(path, out _));
        Assert.Throws<ArgumentNullException>(() => _context.Model.Load((Stream)null!, out _));
    }

    [Fact]
    public void ForeignArchivesAreRefused()
    {
        using MemoryStream file = new();
        using (ZipArchive zip = new(file, ZipArchiveMode.Create, leaveOpen: true))
        {
            using Stream entry = zip.CreateEntry("readme.txt").Open();
            entry.Write("hello"u8);
        }

        file.Position = 0;
        Assert.Throws<InvalidOperationException>(() => _context.Model.Load(file, out _));
    }

    [Fact]
    public void CutOffFilesAreRefused()
    {
        byte[] whole = Save(_context.Transforms.CopyColumns("C", "A").Fit(View("a")), View("a").Schema).ToArray();

        foreach (int length in new[] { 1, whole.Length / 3, whole.Length / 2, whole.Length - 1 })
        {
            Assert.Throws<FormatException>(
                () => _context.Model.Load(new MemoryStream(whole[..length]), out _));
        }
    }

    private (ITransformer Model, DataViewSchema Schema) RoundTrip(ITransformer model, DataViewSchema? schema)
    {
        using MemoryStream file = Save(model, schema);
        file.Position = 0;
        ITransformer loaded = new MLContext().Model.Load(file, out DataViewSchema loadedSchema);
        return (loaded, loadedSchema);
    }

    private MemoryStream Save(ITransformer model, DataViewSchema? schema)
    {
        MemoryStream file = new();
        _context.Model.Save(model, schema, file);
        return file;
    }

    private IDataView View(params string[] labels) => _context.Data.LoadFromEnumerable(
        labels.Select((label, i) => new Row { Label = label, A = i, V = [i, -i] }).ToArray());

    private sealed class Row
    {
        public string Label { get; set; } = "";

        public float A { get; set; }

        [VectorType(2)]
        public float[] V { get; set; } = [];
    }
}
