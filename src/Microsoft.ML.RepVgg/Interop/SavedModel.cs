using System.Globalization;
using System.IO.Compression;
using System.Text.RegularExpressions;
using Microsoft.ML.Data;
using Microsoft.ML.Trainers;
using RepVgg.Networks;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Weights;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Loads a saved model with the transformers of this library in place of the chains of ML.NET's transformers that it was saved as.</summary>
/// <remarks>
/// A copy of the model file is loaded in which every ONNX transformer that <see cref="StockChain"/> wrote is replaced by an
/// empty chain, so that ONNX Runtime is not used for it. In the loaded model, each chain that contained such a transformer is
/// then replaced by the transformer that the ONNX file describes. The names of folders in the model file give its place: the
/// transformer with index 2 in the chain with index 1 is in <c>Transform_001/Transform_002</c>.
/// </remarks>
internal sealed partial class SavedModel
{
    private const string OnnxEntry = "OnnxModel";

    /// <summary>The networks, which may have no integers, by their place: the indices of the ONNX transformer and of the chains around it, such as <c>1/2</c>.</summary>
    private readonly Dictionary<string, SavedNetwork> _networks = [];
    private readonly List<IDisposable> _created = [];
    private readonly Func<SavedNetwork, DataViewSchema.Column?, ITransformer> _create;
    private readonly WeightsFileLimits _limits;

    /// <summary>The place of the loaded model in its file, followed by a slash; empty for the outermost transformer.</summary>
    private string _place = "";

    private SavedModel(WeightsFileLimits limits, Func<SavedNetwork, DataViewSchema.Column?, ITransformer> create) => (_limits, _create) = (limits, create);

    /// <summary>Loads a model.</summary>
    /// <param name="stream">The model file, from its start.</param>
    /// <param name="load">Loads a model with ML.NET.</param>
    /// <param name="limits">Limits on the networks in the model.</param>
    /// <param name="create">Creates the transformer from its description and its network, and for a classifier a column with the type and the key values of the label.</param>
    /// <exception cref="InvalidDataException">The stream is no ML.NET model, is damaged, or contains no transformer that this library saved.</exception>
    /// <exception cref="IOException">The folder for temporary files cannot be used.</exception>
    public static ITransformer Load(Stream stream, Func<Stream, ITransformer> load, WeightsFileLimits limits, Func<SavedNetwork, DataViewSchema.Column?, ITransformer> create)
    {
        var model = new SavedModel(limits, create);
        using var copy = new MemoryStream();
        model.CopyWithoutNetworks(stream, copy);
        copy.Position = 0;
        ITransformer loaded;
        try
        {
            loaded = load(copy);
        }
        catch (Exception error) when (IsOfTemporaryFolder(error.GetBaseException()))
        {
            throw new IOException($"A file cannot be written to or read from the folder for temporary files, '{Path.GetTempPath()}': {MessageText.Reason(error.GetBaseException())}.", error);
        }
        catch (Exception error) when (error is not OutOfMemoryException)
        {
            // ML.NET has no type of exception for damaged files, and creates what a file names by reflection, which wraps exceptions.
            throw new InvalidDataException($"It is damaged, or ML.NET lacks an assembly that it needs: {MessageText.Reason(error.GetBaseException())}.", error);
        }
        try
        {
            var replaced = model.Replace(loaded, model._place);
            return model._networks.Count == 0 ? replaced : throw new InvalidDataException("It is damaged: it does not contain its transformers where its folders say.");
        }
        catch
        {
            model._created.ForEach(created => created.Dispose());
            (loaded as IDisposable)?.Dispose();
            throw;
        }
    }

    /// <summary>Whether an exception of ML.NET comes from the files that it writes while it loads a model, and not from the content of the model, whose ends are an exception of a derived type.</summary>
    private static bool IsOfTemporaryFolder(Exception error) => error is UnauthorizedAccessException or DirectoryNotFoundException || error.GetType() == typeof(IOException);

    private void CopyWithoutNetworks(Stream stream, Stream copy)
    {
        ZipArchive source;
        try
        {
            source = new ZipArchive(stream, ZipArchiveMode.Read, leaveOpen: true);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException("It is not an ML.NET model: it is no zip file, or it is cut off.", error);
        }
        using (source)
        using (var target = new ZipArchive(copy, ZipArchiveMode.Create, leaveOpen: true))
        {
            CheckLengths(source, stream.Length);
            // A file with a data loader has the loader at its root, and the model in a chain of its own, of which ML.NET returns the only part.
            if (source.GetEntry("Model.key") is not null)
                _place = "0/";
            var replaced = new HashSet<string>(StringComparer.Ordinal);
            foreach (var entry in source.Entries.Where(entry => entry.Name == OnnxEntry))
            {
                if (ReadNetwork(entry, _limits) is not { } network)
                    continue;
                string folder = FolderOf(entry);
                _networks[string.Join('/', PartFolder().Matches(folder).Select(part => int.Parse(part.Groups[1].ValueSpan, CultureInfo.InvariantCulture)))] = network;
                replaced.Add(folder);
            }
            if (replaced.Count == 0)
                throw new InvalidDataException("It contains no RepVGG network that this library saved; mlContext.Model.Load loads other models.");
            foreach (var entry in source.Entries)
            {
                if (!replaced.Contains(FolderOf(entry)))
                    Copy(entry, target.CreateEntry(entry.FullName, CompressionLevel.NoCompression));
            }
            foreach (string folder in replaced)
                WriteEmptyChain(target, folder);
        }
    }

    /// <summary>Reads the network of an ONNX transformer; null if another library saved it.</summary>
    private static SavedNetwork? ReadNetwork(ZipArchiveEntry entry, WeightsFileLimits limits)
    {
        // ML.NET writes the length of the file, then the file.
        using var stream = entry.Open();
        using var reader = new BinaryReader(stream);
        int length = entry.Length < sizeof(int) ? -1 : reader.ReadInt32();
        if (length < 0 || length != entry.Length - sizeof(int))
            throw new InvalidDataException($"It is damaged: the entry '{MessageText.Printable(entry.FullName)}' has {entry.Length} bytes, and {length} are expected after the first four.");
        byte[] bytes = CompressedData.ReadUpTo(stream, length);
        // .NET does not compare the checksum of the zip file.
        var checksum = new Crc32();
        checksum.Append(BitConverter.GetBytes(length));
        checksum.Append(bytes);
        if (bytes.Length == length && checksum.Value != entry.Crc32)
            throw new InvalidDataException($"It is damaged: the entry '{MessageText.Printable(entry.FullName)}' does not have the checksum that the file declares.");
        if (bytes.Length < length)
            throw new InvalidDataException($"It is damaged: the entry '{MessageText.Printable(entry.FullName)}' should have {length} bytes after the first four, and has {bytes.Length}.");
        using var content = new MemoryStream(bytes);
        if (OnnxReader.ReadChainDetails(content).Transformer is not { } json)
            return null;
        content.Position = 0;
        var part = SavedPart.FromJson(json);
        if (part.Segmentation is null)
            return new SavedNetwork(part, OnnxReader.ReadAny(content, limits), null, []);
        var (segmentation, labels) = OnnxReader.ReadSegmentation(content);
        limits.CheckImage(segmentation.Architecture.Backbone.InputChannels, segmentation.ImageHeight, segmentation.ImageWidth);
        return new SavedNetwork(part, null, segmentation, labels);
    }

    private static void Copy(ZipArchiveEntry from, ZipArchiveEntry to)
    {
        using Stream source = from.Open(), target = to.Open();
        source.CopyTo(target);
    }

    /// <summary>Checks that the entries, each and together, can be as long as the directory of the zip file declares. Many entries can refer to the same bytes of the file.</summary>
    private static void CheckLengths(ZipArchive archive, long fileLength)
    {
        Int128 total = 0;
        foreach (var entry in archive.Entries)
        {
            if (entry.Length / CompressedData.MaximumRatio > entry.CompressedLength)
                throw new InvalidDataException($"It is damaged: the entry '{MessageText.Printable(entry.FullName)}' cannot have {entry.Length} bytes, since it has {entry.CompressedLength} compressed ones.");
            total += Math.Max(entry.Length, entry.CompressedLength);
        }
        if (total > (Int128)fileLength * CompressedData.MaximumRatio)
            throw new InvalidDataException($"It is damaged: its entries cannot have {total} bytes together, since the file has {fileLength} bytes.");
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

    private static string FolderOf(ZipArchiveEntry entry) => Path.GetDirectoryName(entry.FullName)!.Replace('\\', '/');

    /// <summary>Replaces each chain that contained the ONNX transformer of a network.</summary>
    /// <param name="loaded">A transformer of the loaded model.</param>
    /// <param name="place">Its index and those of the chains around it, each followed by a slash.</param>
    private ITransformer Replace(ITransformer loaded, string place)
    {
        if (loaded is not TransformerChain<ITransformer> chain)
            return loaded;
        ITransformer[] parts = [.. chain];
        for (int i = 0; i < parts.Length; i++)
        {
            if (!_networks.Remove($"{place}{i}", out var network))
                continue;
            var transformer = _create(network, Label(parts));
            _created.Add((IDisposable)transformer);
            return transformer;
        }
        return new TransformerChain<ITransformer>([.. parts.Select((part, i) => Replace(part, $"{place}{i}/"))]);
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

    [GeneratedRegex("Transform_([0-9]{1,9})(?=/|$)")]
    private static partial Regex PartFolder();
}

/// <summary>A network of a saved model.</summary>
/// <param name="Part">Description of the saved transformer.</param>
/// <param name="Network">The network of a classifier or featurizer, which may have no integers; null for segmentation.</param>
/// <param name="Segmentation">The network for segmentation; null for others.</param>
/// <param name="Labels">Names of the classes of a network for segmentation; empty if they are unknown.</param>
internal sealed record SavedNetwork(SavedPart Part, QuantizedNetwork? Network, SegmentationNetwork? Segmentation, IReadOnlyList<string> Labels);
