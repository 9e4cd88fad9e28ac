using Microsoft.ML.Data;
using Microsoft.ML.Standin;

namespace Microsoft.ML;

/// <summary>Data views in binary files. The format is the stand-in's own.</summary>
public static class BinaryLoaderSaverCatalog
{
    public static void SaveAsBinary(
        this DataOperationsCatalog catalog, IDataView data, Stream stream, bool keepHidden = false)
    {
        Check.NotNull(catalog, nameof(catalog));
        Check.NotNull(data, nameof(data));
        Check.NotNull(stream, nameof(stream));
        BinaryData.Write(data, stream, keepHidden);
    }

    public static IDataView LoadFromBinary(this DataOperationsCatalog catalog, string path)
    {
        Check.NotEmpty(path, nameof(path));
        Check.Param(File.Exists(path), nameof(path), $"File does not exist at path: {path}");
        return new BinaryData(new MultiFileSource(path));
    }

    public static IDataView LoadFromBinary(this DataOperationsCatalog catalog, IMultiStreamSource fileSource)
    {
        Check.NotNull(fileSource, nameof(fileSource));
        return new BinaryData(fileSource);
    }
}
