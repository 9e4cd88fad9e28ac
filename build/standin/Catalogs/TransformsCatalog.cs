using Microsoft.ML.Runtime;

namespace Microsoft.ML;

/// <summary>Transforms of data; most of them are extension methods.</summary>
public sealed partial class TransformsCatalog : IInternalCatalog
{
    internal TransformsCatalog(IHostEnvironment env)
    {
        Environment = env;
        Conversion = new ConversionTransforms(this);
    }

    IHostEnvironment IInternalCatalog.Environment => Environment;

    public ConversionTransforms Conversion { get; }

    internal IHostEnvironment Environment { get; }

    /// <summary>Conversions between types; they are extension methods.</summary>
    public sealed partial class ConversionTransforms : IInternalCatalog
    {
        internal ConversionTransforms(TransformsCatalog owner)
        {
            Environment = owner.Environment;
        }

        IHostEnvironment IInternalCatalog.Environment => Environment;

        internal IHostEnvironment Environment { get; }
    }
}
