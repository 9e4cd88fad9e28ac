using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Data;

/// <summary>Estimators that are fitted one after the other, each to what the ones before it make of the data.</summary>
public sealed class EstimatorChain<TLastTransformer> : IEstimator<TransformerChain<TLastTransformer>>
    where TLastTransformer : class, ITransformer
{
    private readonly EstimatorLink[] _links;

    public readonly IEstimator<TLastTransformer> LastEstimator;

    public EstimatorChain()
        : this([])
    {
    }

    internal EstimatorChain(EstimatorLink[] links)
    {
        _links = links;
        LastEstimator = links.LastOrDefault()?.Estimator as IEstimator<TLastTransformer>;
    }

    public TransformerChain<TLastTransformer> Fit(IDataView input)
    {
        Check.NotNull(input, nameof(input));

        // Errors in the schema show before anything is learned.
        GetOutputSchema(SchemaShape.Create(input.Schema));
        IDataView current = input;
        var transformers = new List<ITransformer>();
        for (int i = 0; i < _links.Length; i++)
        {
            ITransformer transformer = _links[i].Estimator.Fit(current);
            transformers.Add(transformer);
            current = transformer.Transform(current);
            if (_links[i].CacheAfter && i < _links.Length - 1)
            {
                current = new CachedDataView(current);
            }
        }

        return new TransformerChain<TLastTransformer>(transformers, _links.Select(link => link.Scope));
    }

    public SchemaShape GetOutputSchema(SchemaShape inputSchema) =>
        _links.Aggregate(inputSchema, (shape, link) => link.Estimator.GetOutputSchema(shape));

    public EstimatorChain<TNewTrans> Append<TNewTrans>(
        IEstimator<TNewTrans> estimator, TransformerScope scope = TransformerScope.Everything)
        where TNewTrans : class, ITransformer
    {
        Check.NotNull(estimator, nameof(estimator));
        return new EstimatorChain<TNewTrans>([.. _links, new EstimatorLink(estimator, scope, CacheAfter: false)]);
    }

    public EstimatorChain<TLastTransformer> AppendCacheCheckpoint(IHostEnvironment env)
    {
        Check.NotNull(env, nameof(env));
        return _links.Length > 0
            ? new EstimatorChain<TLastTransformer>([.. _links[..^1], _links[^1] with { CacheAfter = true }])
            : throw new InvalidOperationException(
                "Current estimator chain has no estimator, can't append cache checkpoint.");
    }
}

/// <summary>One link of a chain of estimators.</summary>
internal sealed record EstimatorLink(IEstimator<ITransformer> Estimator, TransformerScope Scope, bool CacheAfter);
