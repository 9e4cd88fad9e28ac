using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Makes schema shapes, whose parts ML.NET lets nobody construct.</summary>
internal static class SchemaShapes
{
    /// <summary>The shape of a schema, columns and annotations.</summary>
    /// <remarks>An estimator chain computes it and hands it to its estimators; one of ours listens.</remarks>
    /// <param name="schema">Any schema.</param>
    /// <returns>Its shape.</returns>
    public static SchemaShape Of(DataViewSchema schema)
    {
        var probe = new Probe();
        new EstimatorChain<ITransformer>().Append(probe).Fit(new SchemaOnlyView(schema));
        return probe.Shape!;
    }

    /// <summary>A column of floats of known size.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="size">Number of values.</param>
    /// <returns>The column.</returns>
    public static SchemaShape.Column FloatVector(string name, int size)
    {
        var builder = new DataViewSchema.Builder();
        builder.AddColumn(name, new VectorDataViewType(NumberDataViewType.Single, size));
        return Of(builder.ToSchema())[0];
    }

    /// <summary>The last column of a name: the visible one, as columns added later hide earlier ones.</summary>
    /// <param name="shape">The shape to search.</param>
    /// <param name="name">The column's name.</param>
    /// <returns>The column, or null.</returns>
    public static SchemaShape.Column? Find(this SchemaShape shape, string name)
    {
        SchemaShape.Column? found = null;
        foreach (var column in shape)
        {
            if (column.Name == name)
                found = column;
        }
        return found;
    }

    private sealed class Probe : IEstimator<ITransformer>
    {
        public SchemaShape? Shape { get; private set; }

        public SchemaShape GetOutputSchema(SchemaShape inputSchema) => Shape = inputSchema;

        public ITransformer Fit(IDataView input) => new TransformerChain<ITransformer>();
    }
}
