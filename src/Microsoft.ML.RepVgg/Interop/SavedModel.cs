using System.IO.Compression;
using System.Text.RegularExpressions;
using Microsoft.ML.Data;
using Microsoft.ML.Trainers;
using RepVgg.Networks;
using RepVgg.Weights.Onnx;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Loads a saved model with the transformers of this library in place of the chains of ML.NET's transformers that it was saved as.</summary>
/// <remarks>
/// A copy of the model file is loaded in which every ONNX transformer that <see cref="StockChain"/> wrote is replaced by an
/// empty chain, so that ONNX Runtime is not used for it. In the loaded model, each chain with an empty chain is then replaced
/// by the transformer that its ONNX file describes.
/// </remarks>
internal sealed class SavedModel
{
    private const string OnnxEntry = "OnnxModel";

    private readonly Queue<(SavedPart Part, DeployNetwork Network)> _networks = [];
    private readonly Func<SavedPart, DeployNetwork, DataViewSchema.Column?, ITransformer> _create;

    private SavedModel(Func<SavedPart, DeployNetwork, DataViewSchema.Column?, ITransformer> create) => _create = create;

    /// <summary>Loads a model.</summary>
    /// <param name="stream">The model file.</param>
    /// <param name="load">Loads a model with ML.NET.</param>
    /// <param name="create">Creates the transformer from its description, its network, and for a classifier a column with the type and the key values of the label.</param>
    /// <exception cref="InvalidDataException">The stream is no ML.NET model, or it contains no transformer that this library saved.</exception>
    public static ITransformer Load(Stream stream, Func<Stream, ITransformer> load, Func<SavedPart, DeployNetwork, DataViewSchema.Column?, ITransformer> create)
    {
        var model = new SavedModel(create);
        using var copy = new MemoryStream();
        model.CopyWithoutNetworks(stream, copy);
        copy.Position = 0;
        return model.Replace(load(copy));
    }

    private void CopyWithoutNetworks(Stream stream, Stream copy)
    {
        ZipArchive source;
        try
        {
            source = new ZipArchive(stream, ZipArchiveMode.Read, leaveOpen: true);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException("It is not an ML.NET model: it is no zip file.", error);
        }
        using (source)
        using (var target = new ZipArchive(copy, ZipArchiveMode.Create, leaveOpen: true))
        {
            // In the order of the transformers in the chains, because the loaded chains are searched in this order.
            var replaced = new HashSet<string>(StringComparer.Ordinal);
            foreach (var entry in source.Entries.Where(entry => entry.Name == OnnxEntry).OrderBy(entry => Order(entry.FullName), StringComparer.Ordinal))
            {
                if (ReadNetwork(entry) is { } network)
                {
                    _networks.Enqueue(network);
                    replaced.Add(FolderOf(entry));
                }
            }
            if (replaced.Count == 0)
                throw new InvalidDataException("It contains no RepVGG network that this library saved. Load it with mlContext.Model.Load.");
            foreach (var entry in source.Entries)
            {
                if (!replaced.Contains(FolderOf(entry)))
                    Copy(entry, target.CreateEntry(entry.FullName, CompressionLevel.NoCompression));
            }
            foreach (string folder in replaced)
                WriteEmptyChain(target, folder);
        }
    }

    private static (SavedPart, DeployNetwork)? ReadNetwork(ZipArchiveEntry entry)
    {
        // ML.NET writes the length of the file, then the file.
        using var reader = new BinaryReader(entry.Open());
        int length = entry.Length < sizeof(int) ? -1 : reader.ReadInt32();
        if (length != entry.Length - sizeof(int))
            throw new InvalidDataException($"It is damaged: the entry '{entry.FullName}' has {entry.Length} bytes, and {length} are expected after the first four.");
        using var content = new MemoryStream(reader.ReadBytes(length));
        // ONNX files of other transformers are not read further.
        if (OnnxReader.ReadChainDetails(content).Transformer is not { } json)
            return null;
        content.Position = 0;
        return (SavedPart.FromJson(json), OnnxReader.ReadChain(content).Network);
    }

    private static void Copy(ZipArchiveEntry from, ZipArchiveEntry to)
    {
        using Stream source = from.Open(), target = to.Open();
        source.CopyTo(target);
    }

    /// <summary>Writes a chain without transformers into a folder of a model file.</summary>
    private static void WriteEmptyChain(ZipArchive target, string folder)
    {
        using var stream = new MemoryStream();
        new MLContext(seed: 1).Model.Save(new TransformerChain<ITransformer>(), null, stream);
        stream.Position = 0;
        using var empty = new ZipArchive(stream, ZipArchiveMode.Read);
        foreach (var entry in empty.Entries.Where(entry => FolderOf(entry) == "TransformerChain"))
            Copy(entry, target.CreateEntry($"{folder}/{entry.Name}", CompressionLevel.NoCompression));
    }

    /// <summary>Pads numbers with zeros, so that names with numbers are sorted by them: ML.NET writes Transform_000, and Transform_1000 after Transform_999.</summary>
    private static string Order(string name) => Regex.Replace(name, "[0-9]+", number => number.Value.PadLeft(10, '0'));

    private static string FolderOf(ZipArchiveEntry entry) => Path.GetDirectoryName(entry.FullName)!.Replace('\\', '/');

    /// <summary>Replaces each chain that contains an empty chain.</summary>
    private ITransformer Replace(ITransformer loaded)
    {
        if (loaded is not TransformerChain<ITransformer> chain)
            return loaded;
        ITransformer[] parts = [.. chain];
        if (!parts.Any(part => part is TransformerChain<ITransformer> inner && !inner.Any()))
            return new TransformerChain<ITransformer>([.. parts.Select(Replace)]);
        var (part, network) = _networks.Dequeue();
        return _create(part, network, Label(parts));
    }

    /// <summary>Gets a column of the type and key values of the label from the head in a chain; null if the chain has no head.</summary>
    private static DataViewSchema.Column? Label(IEnumerable<ITransformer> parts)
    {
        var head = parts.OfType<MulticlassPredictionTransformer<MaximumEntropyModelParameters>>().SingleOrDefault();
        if (head is null)
            return null;
        var builder = new DataViewSchema.Builder();
        builder.AddColumn(head.FeatureColumnName, head.FeatureColumnType);
        return head.GetOutputSchema(builder.ToSchema())[StockChain.PredictedLabel];
    }
}
