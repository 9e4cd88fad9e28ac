#if MLNET_STANDIN
using System.IO.Compression;
using Microsoft.ML;
using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Standin;

/// <summary>The stand-in's own model files: damage inside of a whole archive, and components that misbehave.</summary>
public sealed class ModelArchiveTests : IDisposable
{
    private const string Key = "TransformerChain/Model.key";

    private readonly MLContext _context = new(1);
    private readonly string _folder = Directory.CreateTempSubdirectory("model-archive").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void EveryCutIntoAComponentIsNoticed()
    {
        byte[] key = Content(Model(), Key);

        for (int length = 0; length < key.Length; length++)
        {
            Exception error = Assert.Throws<FormatException>(() => Load(With(Key, key[..length])));
            Assert.Contains("Corrupt model file", error.Message);
        }
    }

    [Fact]
    public void ForeignComponentsAreNamed()
    {
        byte[] key = Content(Model(), Key);
        key[0] ^= 0xFF;
        Assert.Contains("TransformerChain", Assert.Throws<FormatException>(() => Load(With(Key, key))).Message);

        byte[] unknown = Content(Model(), Key);
        unknown[9] = (byte)'X';
        Assert.Contains("unknown loader", Assert.Throws<FormatException>(() => Load(With(Key, unknown))).Message);
    }

    [Fact]
    public void NewerVersionsAreNamed()
    {
        byte[] key = Content(Model(), Key);
        int version = 8 + 1 + key[8];
        key[version] = 77;

        Assert.Contains("version 77", Assert.Throws<FormatException>(() => Load(With(Key, key))).Message);
    }

    [Fact]
    public void MissingPartsAreNamed()
    {
        Exception error = Assert.Throws<FormatException>(() => Load(With("TransformerChain/Transform_001/Model.key", null)));

        Assert.Contains("Transform_001", error.Message);
    }

    [Fact]
    public void DamagedSchemasAreNoticed()
    {
        byte[] schema = Content(Model(), "Schema");

        Assert.Throws<FormatException>(() => Load(With("Schema", schema[..(schema.Length / 2)])));
    }

    [Fact]
    public void ComponentsThatSaveNothingAreAnErrorOfSaving()
    {
        string path = Path.Combine(_folder, "model.zip");
        File.WriteAllText(path, "before");

        Exception error = Assert.Throws<InvalidOperationException>(
            () => _context.Model.Save(new Silent(), null, path));

        Assert.Contains(nameof(Silent), error.Message);
        Assert.Equal("before", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder));
    }

    [Fact]
    public void BinaryDataThatIsCutOffIsNoticedWhereItEnds()
    {
        string path = Path.Combine(_folder, "data");
        using (FileStream stream = File.Create(path))
        {
            _context.Data.SaveAsBinary(View(), stream);
        }

        byte[] whole = File.ReadAllBytes(path);
        File.WriteAllBytes(path, whole[..^3]);
        IDataView view = _context.Data.LoadFromBinary(path);

        Exception error = Assert.Throws<FormatException>(() => view.GetColumn<string>("Name").Count());
        Assert.Contains("row 2", error.Message);
        File.WriteAllBytes(path, whole[..12]);
        Assert.Throws<FormatException>(() => _context.Data.LoadFromBinary(path));
    }

    [Fact]
    public void BinaryDataGoesToStreamsThatCannotSeek()
    {
        string path = Path.Combine(_folder, "data");
        using (FileStream file = File.Create(path))
        {
            using BufferedStream front = new(new GZipStream(file, CompressionLevel.Fastest));
            _context.Data.SaveAsBinary(View(), front);
        }

        string plain = Path.Combine(_folder, "plain");
        using (GZipStream zipped = new(File.OpenRead(path), CompressionMode.Decompress))
        {
            using FileStream output = File.Create(plain);
            zipped.CopyTo(output);
        }

        Assert.Equal(["a", "b", "c"], _context.Data.LoadFromBinary(plain).GetColumn<string>("Name"));
    }

    private ITransformer Load(byte[] model) => _context.Model.Load(new MemoryStream(model), out _);

    /// <summary>The model's file with one entry's content exchanged, or left out.</summary>
    private byte[] With(string name, byte[]? content)
    {
        MemoryStream changed = new();
        using (ZipArchive source = new(new MemoryStream(Model())))
        using (ZipArchive target = new(changed, ZipArchiveMode.Create, leaveOpen: true))
        {
            Assert.NotNull(source.GetEntry(name));
            foreach (ZipArchiveEntry entry in source.Entries.Where(entry => entry.FullName != name || content is not null))
            {
                using Stream stream = target.CreateEntry(entry.FullName).Open();
                stream.Write(entry.FullName == name ? content : Read(entry));
            }
        }

        return changed.ToArray();
    }

    private static byte[] Content(byte[] model, string name)
    {
        using ZipArchive zip = new(new MemoryStream(model));
        return Read(zip.GetEntry(name)!);
    }

    private static byte[] Read(ZipArchiveEntry entry)
    {
        using Stream stream = entry.Open();
        using MemoryStream content = new();
        stream.CopyTo(content);
        return content.ToArray();
    }

    private byte[] Model()
    {
        MemoryStream file = new();
        ITransformer model = _context.Transforms.Conversion.MapValueToKey("Key", "Name")
            .Append(_context.Transforms.CopyColumns("Copy", "Key")).Fit(View());
        _context.Model.Save(model, View().Schema, file);
        return file.ToArray();
    }

    private IDataView View() => _context.Data.LoadFromEnumerable(
        new[] { new Row { Name = "a" }, new Row { Name = "b" }, new Row { Name = "c" } });

    private sealed class Row
    {
        public string Name { get; set; } = "";

        public float[] Values { get; set; } = [1, 2];
    }

    private sealed class Silent : ITransformer
    {
        public bool IsRowToRowMapper => false;

        public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => inputSchema;

        public IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema) => throw new NotSupportedException();

        public IDataView Transform(IDataView input) => input;

        public void Save(ModelSaveContext ctx)
        {
        }
    }
}
#endif
