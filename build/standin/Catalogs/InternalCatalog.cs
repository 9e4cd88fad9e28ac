using Microsoft.ML.Runtime;

namespace Microsoft.ML;

/// <summary>How components get at the environment behind a catalog.</summary>
internal interface IInternalCatalog
{
    IHostEnvironment Environment { get; }
}

internal static class CatalogUtils
{
    internal static IHostEnvironment GetEnvironment(this IInternalCatalog catalog) => catalog.Environment;
}
