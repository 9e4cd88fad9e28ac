using Microsoft.ML.Runtime;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>The environment (log, seed stream) of the user's MLContext, behind a catalog that shows none.</summary>
/// <remarks>
/// Catalogs keep their environment in an internal interface, so it is looked up by name. It is used for logging and for
/// the context's seed only; where a later ML.NET no longer has it, training goes on without both.
/// </remarks>
internal static class CatalogEnvironment
{
    public static IHostEnvironment? Find(object catalog) => catalog.GetType()
        .GetInterfaces()
        .FirstOrDefault(type => type.Name == "IInternalCatalog")?
        .GetProperty("Environment")?
        .GetValue(catalog) as IHostEnvironment;
}
